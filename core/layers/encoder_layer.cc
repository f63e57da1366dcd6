#include "core/layers/encoder_layer.h"

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

int64_t CountRows(const LayerBuilder& builder, OutputRows output) {
  return output == OutputRows::kAll ? builder.rows() : builder.shape.targets;
}

}  // namespace

AttentionBranch::AttentionBranch(const LayerBuilder& builder, int64_t layer,
                                 const std::string& name)
    : heads_{builder.shape.sequences, builder.shape.length, builder.config.heads,
             builder.config.head_width()},
      row_{builder.shape.sequences, builder.shape.length, 1, builder.config.width},
      query_(MakeProjection(builder, layer, name + ".self.query")),
      key_(MakeProjection(builder, layer, name + ".self.key")),
      value_(builder, name + ".self.value", builder.config.width, builder.config.width),
      attention_(MakeAttention(builder, layer, name + ".self")),
      output_(builder, name + ".output.dense", builder.config.width, builder.config.width) {
  const Shape rows{builder.rows(), builder.config.width};
  if (!folded()) {
    q_ = builder.activations.Make(rows);
    k_ = builder.activations.Make(rows);
  }
  v_ = builder.activations.Make(rows);
  o_ = builder.activations.Make(rows);
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
  attention_->Forward(ctx, o_.Reshaped(heads_), q, k, v_.Reshaped(heads_), batch);
  output_.Forward(ctx, y, o_);
}

void AttentionBranch::Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch& batch) {
  const Shape& routed = folded() ? row_ : heads_;
  const In q = folded() ? x : In(q_), k = folded() ? x : In(k_);
  Scratch::Scope scope(ctx.scratch());
  const auto take = [&] { return scope.Take(x.dtype(), x.shape()); };
  const Out d_o = take(), dq = take(), dk = take(), dv = take();
  output_.Backward(ctx, d_o, dy, o_, /*accumulate=*/false);
  attention_->Backward(ctx, dq.Reshaped(routed), dk.Reshaped(routed), dv.Reshaped(heads_),
                       d_o.Reshaped(heads_), q.Reshaped(routed), k.Reshaped(routed),
                       v_.Reshaped(heads_), o_.Reshaped(heads_), batch);
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
                                     int64_t rows)
    : inner_(builder, name + ".intermediate.dense", builder.config.feed_forward,
             builder.config.width),
      output_(builder, name + ".output.dense", builder.config.width, builder.config.feed_forward),
      pre_(builder.activations.Make({rows, builder.config.feed_forward})),
      gelu_(builder.activations.Make({rows, builder.config.feed_forward})) {}

void FeedForwardBranch::Forward(Context& ctx, Out y, In x, const MicroBatch&) {
  inner_.GeluForward(ctx, gelu_, pre_, x);
  output_.Forward(ctx, y, gelu_);
}

void FeedForwardBranch::Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch&) {
  Scratch::Scope scope(ctx.scratch());
  const Out d_inner = scope.Take(pre_.dtype(), pre_.shape());
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
    : attention_(&branch->attention()),
      attention_block_(builder, std::move(branch), name + ".attention.output.LayerNorm",
                       builder.rows(), layer, RandomPlace::kAttentionOutput),
      feed_forward_block_(
          builder, std::make_unique<FeedForwardBranch>(builder, name, CountRows(builder, output)),
          name + ".output.LayerNorm", CountRows(builder, output), layer, RandomPlace::kFeedForward),
      middle_(builder.activations.Make({builder.rows(), builder.config.width})) {
  if (output == OutputRows::kTargets) {
    targets_ = builder.activations.Make({builder.shape.targets, builder.config.width});
  }
}

void EncoderLayer::Forward(Context& ctx, Out y, In x, const MicroBatch& batch) {
  attention_block_.Forward(ctx, middle_, x, batch);
  if (targets_) GatherRows(ctx, targets_, middle_, batch.target_position);
  feed_forward_block_.Forward(ctx, y, targets_ ? targets_ : middle_, batch);
}

void EncoderLayer::Backward(Context& ctx, Out dx, In dy, In x, const MicroBatch& batch) {
  if (!targets_) {
    feed_forward_block_.Backward(ctx, dx, dy, middle_, batch);
  } else {
    Scratch::Scope scope(ctx.scratch());
    const Out d_targets = scope.Take(targets_.dtype(), targets_.shape());
    feed_forward_block_.Backward(ctx, d_targets, dy, targets_, batch);
    Zero(ctx, dx);
    ScatterAddRows(ctx, dx, d_targets, batch.target_position);
  }
  attention_block_.Backward(ctx, dx, dx, x, batch);
}

}  // namespace treeformer
