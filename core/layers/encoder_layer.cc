#include "core/layers/encoder_layer.h"

#include <algorithm>

#include "core/attention/registry.h"
#include "kernels/activation.h"
#include "kernels/residual.h"

namespace treeformer {

namespace {

std::optional<LinearLayer> MakeProjection(const LayerBuilder& builder, int64_t layer,
                                          const std::string& name) {
  if (builder.config.attention.at(layer).tree.fold_projections) return std::nullopt;
  return LinearLayer(builder, name, builder.config.width, builder.config.width);
}

int64_t CountRows(const BatchShape& shape, OutputRows output) {
  return output == OutputRows::kAll ? shape.sequences * shape.length : shape.targets;
}

}  // namespace

AttentionBranch::AttentionBranch(const LayerBuilder& builder, int64_t layer,
                                 const std::string& name)
    : weights_(&builder.weights),
      width_(builder.config.width),
      head_count_(builder.config.heads),
      query_(MakeProjection(builder, layer, name + ".self.query")),
      key_(MakeProjection(builder, layer, name + ".self.key")),
      value_(builder, name + ".self.value", width_, width_),
      attention_(MakeAttention(builder, layer, name + ".self")),
      output_(builder, name + ".output.dense", width_, width_) {}

void AttentionBranch::Bind(const LayerMemory& memory) {
  const int64_t B = memory.shape.sequences, n = memory.shape.length;
  heads_ = {B, n, head_count_, width_ / head_count_};
  row_ = {B, n, 1, width_};
  const Shape rows{memory.rows(), width_};
  attention_->Bind(memory);
  if (!folded()) {
    q_ = memory.activations.Make(rows);
    k_ = memory.activations.Make(rows);
  }
  v_ = memory.activations.Make(rows);
  o_ = memory.activations.Make(rows);
  for (Out* gradient : {&dq_, &dk_, &dv_}) *gradient = weights_->Keep(memory.activations, rows);
}

void AttentionBranch::Forward(Context& ctx, Out y, In x, const MicroBatch& batch) {
  In q = x.Reshaped(row_), k = q;
  if (!folded()) {
    query_->Forward(ctx, q_, x);
    key_->Forward(ctx, k_, x);
    q = q_.Reshaped(heads_);
    k = k_.Reshaped(heads_);
  }
  value_.Forward(ctx, v_, x);
  attention_->Forward(ctx, o_.Reshaped(heads_), SelfAttention(q, k, v_.Reshaped(heads_), batch),
                      batch);
  output_.Forward(ctx, y, o_);
}

void AttentionBranch::Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch& batch) {
  const Shape& routed = folded() ? row_ : heads_;
  const In q = folded() ? x : In(q_), k = folded() ? x : In(k_);
  Scratch::Scope scope(ctx.scratch());
  const auto take = [&](Out kept) { return OrScratch(kept, scope, x.dtype(), x.shape()); };
  const Out d_o = take({}), dq = take(dq_), dk = take(dk_), dv = take(dv_);
  output_.Backward(ctx, d_o, dy, o_, /*accumulate=*/false);
  const AttentionInput input =
      SelfAttention(q.Reshaped(routed), k.Reshaped(routed), v_.Reshaped(heads_), batch);
  attention_->Backward(ctx, dq.Reshaped(routed), dk.Reshaped(routed), dv.Reshaped(heads_),
                       d_o.Reshaped(heads_), input, o_.Reshaped(heads_), batch);
  value_.Backward(ctx, dx, dv, x, /*accumulate=*/true);
  if (folded()) {
    AddResidual(ctx, dx, dx, dq, /*dropout=*/{});
    AddResidual(ctx, dx, dx, dk, /*dropout=*/{});
  } else {
    query_->Backward(ctx, dx, dq, x, /*accumulate=*/true);
    key_->Backward(ctx, dx, dk, x, /*accumulate=*/true);
  }
}

FeedForwardBranch::FeedForwardBranch(const LayerBuilder& builder, const std::string& name,
                                     OutputRows output)
    : weights_(&builder.weights),
      inner_width_(builder.config.feed_forward),
      output_rows_(output),
      inner_(builder, name + ".intermediate.dense", inner_width_, builder.config.width),
      output_(builder, name + ".output.dense", builder.config.width, inner_width_) {}

void FeedForwardBranch::Bind(const LayerMemory& memory) {
  const Shape rows{CountRows(memory.shape, output_rows_), inner_width_};
  pre_ = memory.activations.Make(rows);
  gelu_ = memory.activations.Make(rows);
  d_inner_ = weights_->Keep(memory.activations, rows);
}

void FeedForwardBranch::Forward(Context& ctx, Out y, In x, const MicroBatch&) {
  inner_.GeluForward(ctx, gelu_, pre_, x);
  output_.Forward(ctx, y, gelu_);
}

void FeedForwardBranch::Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch&) {
  Scratch::Scope scope(ctx.scratch());
  const Out d_inner = OrScratch(d_inner_, scope, pre_.dtype(), pre_.shape());
  output_.Backward(ctx, d_inner, dy, gelu_, /*accumulate=*/false);
  GeluBackward(ctx, d_inner, d_inner, pre_);
  inner_.Backward(ctx, dx, d_inner, x, /*accumulate=*/true);
}

EncoderLayer::EncoderLayer(const LayerBuilder& builder, int64_t layer, OutputRows output)
    : EncoderLayer(builder.OfLayer(layer), layer, output, EncoderLayerName(layer),
                   std::make_unique<AttentionBranch>(builder.OfLayer(layer), layer,
                                                     EncoderLayerName(layer) + ".attention")) {}

EncoderLayer::EncoderLayer(const LayerBuilder& builder, int64_t layer, OutputRows output,
                           const std::string& name, std::unique_ptr<AttentionBranch> branch)
    : config_(builder.config),
      layer_(layer),
      width_(builder.config.width),
      output_rows_(output),
      attention_(&branch->attention()),
      attention_block_(builder, std::move(branch), name + ".attention.output.LayerNorm", layer,
                       RandomPlace::kAttentionOutput),
      feed_forward_block_(builder, std::make_unique<FeedForwardBranch>(builder, name, output),
                          name + ".output.LayerNorm", layer, RandomPlace::kFeedForward) {}

LayerCost EncoderLayer::Cost(const BatchShape& shape, std::optional<double> density) const {
  const double d = static_cast<double>(width_), f = static_cast<double>(config_.feed_forward);
  const double rows = static_cast<double>(CountRows(shape, OutputRows::kAll));
  const double output_rows = static_cast<double>(CountRows(shape, output_rows_));
  const double sequences = static_cast<double>(shape.sequences);
  const AttentionCost attention =
      CostOfAttention(config_, layer_, static_cast<double>(shape.length), density);
  LayerCost cost;
  cost.projections = 2 * rows * (config_.attention[layer_].tree.fold_projections ? 2 : 4) * d * d;
  cost.products = cost.projections + 2 * output_rows * 2 * d * f;
  cost.attention = sequences * attention.Forward();
  cost.attention_training = sequences * attention.Training();
  // The gradients of q, k, v, o and of the branch; or those of the inner rows and of the branch.
  cost.temporaries = static_cast<int64_t>(std::max(5 * rows * d, output_rows * (d + f)));
  return cost;
}

std::vector<Port> EncoderLayer::Inputs(const BatchShape& shape) const {
  return {{"hidden", {CountRows(shape, OutputRows::kAll), width_}}};
}

std::vector<Port> EncoderLayer::Outputs(const BatchShape& shape) const {
  return {{"hidden", {CountRows(shape, output_rows_), width_}}};
}

void EncoderLayer::Bind(const LayerMemory& memory) {
  attention_block_.Bind(memory, memory.rows());
  feed_forward_block_.Bind(memory, CountRows(memory.shape, output_rows_));
  middle_ = memory.activations.Make({memory.rows(), width_});
  if (output_rows_ == OutputRows::kTargets) {
    targets_ = memory.activations.Make({memory.shape.targets, width_});
  }
}

void EncoderLayer::Forward(Context& ctx, const Tensors& y, const Tensors& x,
                           const MicroBatch& batch) {
  attention_block_.Forward(ctx, middle_, x[0], batch);
  const bool all = output_rows_ == OutputRows::kAll;
  if (!all) GatherRows(ctx, targets_, middle_, batch.target_position);
  feed_forward_block_.Forward(ctx, y[0], all ? middle_ : targets_, batch);
}

void EncoderLayer::BackwardInput(Context& ctx, const Tensors& dx, const Tensors& dy,
                                 const Tensors& x, const MicroBatch& batch) {
  if (output_rows_ == OutputRows::kAll) {
    feed_forward_block_.Backward(ctx, dx[0], dy[0], middle_, batch);
  } else {
    Scratch::Scope scope(ctx.scratch());
    const Out d_targets = scope.Take(targets_.dtype(), targets_.shape());
    feed_forward_block_.Backward(ctx, d_targets, dy[0], targets_, batch);
    Zero(ctx, dx[0]);
    ScatterAddRows(ctx, dx[0], d_targets, batch.target_position);
  }
  attention_block_.Backward(ctx, dx[0], dx[0], x[0], batch);
}

}  // namespace treeformer
