#include "core/model/model.h"

#include <algorithm>
#include <optional>

#include "core/layers/embeddings.h"
#include "core/layers/encoder_layer.h"
#include "core/layers/masked_lm_head.h"
#include "core/model/device_batch.h"
#include "kernels/cross_entropy.h"
#include "kernels/runtime/bfloat16.h"

namespace treeformer {

namespace {

// Of the first V elements of each row.  After training they are softmax - [target], so the target's
// share is added back.
template <typename T>
std::vector<int32_t> ArgMaxRows(View<T> logits, int64_t V, View<int32_t> target, bool training) {
  std::vector<int32_t> best(logits.shape()[0], datasets::kNoTarget);
  for (int64_t m = 0; m < logits.shape()[0]; ++m) {
    if (target[m] < 0) continue;
    T* row = logits.data() + m * logits.shape()[1];
    if (training) row[target[m]] += 1;
    best[m] = std::max_element(row, row + V) - row;
  }
  return best;
}

}  // namespace

class MaskedLanguageModel::Parts {
 public:
  Parts(Context& ctx, const ModelConfig& config, const BatchShape& shape, DType dtype,
        Parameters& parameters)
      : activations(ctx, dtype),
        device_batch(activations, shape),
        embeddings(LayerBuilder{config, shape, parameters, activations}) {
    const LayerBuilder builder{config, shape, parameters, activations};
    const Shape rows{builder.rows(), config.width}, targets{shape.targets, config.width};
    first_of.push_back(0);
    outputs.push_back(activations.Make(rows));
    for (int64_t i = 0; i < config.layers; ++i) {
      first_of.push_back(parameters.list().size());
      const bool last = i + 1 == config.layers;
      layers.push_back(std::make_unique<EncoderLayer>(
          builder, i, last ? OutputRows::kTargets : OutputRows::kAll));
      outputs.push_back(activations.Make(last ? targets : rows));
    }
    first_of.push_back(parameters.list().size());
    if (config.pre_norm) {
      final_norm.emplace(builder, "bert.encoder.LayerNorm", shape.targets);
      normed = activations.Make(targets);
    }
    head.emplace(builder, embeddings.token_table());
    first_of.push_back(parameters.list().size());
    gradient = activations.Make(rows);
    target_gradient = activations.Make(targets);
  }

  // f(tree, step of its nudge) for the trees under Balance::kBias.
  template <typename F>
  void ForEachBalancedTree(const ModelConfig& config, const F& f) const {
    for (size_t i = 0; i < layers.size(); ++i) {
      const TreeConfig& tree_config = config.attention[i].tree;
      if (tree_config.balance != Balance::kBias) continue;
      for (Tree* tree : layers[i]->attention().trees()) f(*tree, tree_config.balance_weight);
    }
  }

  In head_input() const { return final_norm ? normed : outputs.back(); }

  Activations activations;
  DeviceBatch device_batch;
  MicroBatch batch;
  Embeddings embeddings;
  std::vector<std::unique_ptr<EncoderLayer>> layers;
  std::optional<LayerNormLayer> final_norm;  // pre-norm only
  std::optional<MaskedLmHead> head;
  std::vector<Out> outputs;  // [B n, d] of the embeddings and of each layer, [M, d] of the last
  Out normed;                // [M, d], the last of them under the final norm
  Out gradient;              // [B n, d] of the output that Backward has come to
  Out target_gradient;       // [M, d] of the last output
  // First parameter of the embeddings, of each layer, of the final norm and head; and the end.
  std::vector<Parameters::Id> first_of;
};

LossSum& LossSum::operator+=(const LossSum& other) {
  loss += other.loss;
  correct += other.correct;
  targets += other.targets;
  return *this;
}

MaskedLanguageModel::MaskedLanguageModel(Context& ctx, const ModelConfig& config,
                                         const BatchShape& shape, DType dtype,
                                         ParameterMemory memory)
    : config_(config), shape_(shape) {
  CHECK_EQ(static_cast<int64_t>(config.attention.size()), config.layers);
  CHECK_GE(config.layers, 1);
  CHECK_EQ(config.width % config.heads, 0);
  CHECK_LE(shape.length, config.max_positions);
  parts_ = std::make_unique<Parts>(ctx, config_, shape_, dtype, parameters_);
  if (memory == ParameterMemory::kOwn) parameters_.Allocate(ctx, dtype);
}

MaskedLanguageModel::~MaskedLanguageModel() = default;

void MaskedLanguageModel::Forward(Context& ctx, const datasets::Batch& batch,
                                  const StepInfo& step) {
  Load(ctx, batch, step);
  Forward(ctx);
}

void MaskedLanguageModel::Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step) {
  CHECK_EQ(batch.sequences, shape_.sequences);
  CHECK_EQ(batch.length, shape_.length);
  parts_->batch = parts_->device_batch.Load(ctx, batch, step);
}

void MaskedLanguageModel::Forward(Context& ctx) {
  Parts& parts = *parts_;
  parts.embeddings.Forward(ctx, parts.outputs[0], parts.batch);
  for (size_t i = 0; i < parts.layers.size(); ++i) {
    parts.layers[i]->Forward(ctx, parts.outputs[i + 1], parts.outputs[i], parts.batch);
  }
  if (parts.final_norm) parts.final_norm->Forward(ctx, parts.normed, parts.outputs.back());
  parts.head->Forward(ctx, parts.head_input(), parts.batch);
}

void MaskedLanguageModel::Backward(Context& ctx, const GradientHook& on_gradient) {
  Parts& parts = *parts_;
  CHECK(parts.batch.step.training) << "Backward after a Forward for evaluation";
  const auto finished = [&](size_t part) {
    if (!on_gradient) return;
    on_gradient(parameters_.RangeOf(parts.first_of[part], parts.first_of[part + 1]));
  };
  Out dy = parts.target_gradient;
  parts.head->Backward(ctx, dy, parts.head_input());
  if (parts.final_norm) parts.final_norm->Backward(ctx, dy, dy, parts.outputs.back());
  finished(parts.layers.size() + 1);
  const Out gradient = parts.gradient;
  for (size_t i = parts.layers.size(); i-- > 0;) {
    parts.layers[i]->Backward(ctx, gradient, dy, parts.outputs[i], parts.batch);
    dy = gradient;
    finished(i + 1);
  }
  parts.embeddings.Backward(ctx, gradient, parts.batch);
  finished(0);
}

void MaskedLanguageModel::AddLoss(Context& ctx, View<double> sums) const {
  AddLossSums(ctx, sums, parts_->head->loss(), parts_->head->correct());
}

LossSum MaskedLanguageModel::ReadLoss(Context& ctx) const {
  const MaskedLmHead& head = *parts_->head;
  const Buffer loss(Device::kCpu, head.loss().dtype(), head.loss().shape());
  const Buffer correct(Device::kCpu, DType::kInt32, head.correct().shape());
  Copy(ctx, loss, head.loss());
  Copy(ctx, correct, head.correct());
  ctx.Synchronize();
  LossSum sum;
  for (int64_t m = 0; m < shape_.targets; ++m) {
    sum.loss += loss.dtype() == DType::kFloat64 ? loss.as<double>()[m] : loss.as<float>()[m];
    sum.correct += correct.as<int32_t>()[m];
  }
  for (int64_t targets : parts_->batch.targets_of) sum.targets += targets;
  return sum;
}

std::vector<int32_t> MaskedLanguageModel::ReadPredictions(Context& ctx) const {
  const In logits = parts_->head->logits();
  const int64_t V = config_.vocabulary;
  const bool training = parts_->batch.step.training;
  const Buffer host(Device::kCpu, logits.dtype(), logits.shape());
  const Buffer target(Device::kCpu, DType::kInt32, {shape_.targets});
  Copy(ctx, host, logits);
  Copy(ctx, target, parts_->batch.target_token);
  ctx.Synchronize();
  if (host.dtype() == DType::kFloat64) return ArgMaxRows<double>(host, V, target, training);
  if (host.dtype() == DType::kFloat32) return ArgMaxRows<float>(host, V, target, training);
  const Buffer wide(Device::kCpu, DType::kFloat32, logits.shape());
  cpu::WidenToFloat32(wide.as<float>().data(), host.as<BFloat16>().data(), logits.count());
  return ArgMaxRows<float>(wide, V, target, training);
}

In MaskedLanguageModel::LayerInput(int64_t layer) const {
  CHECK_LT(layer, config_.layers);
  return parts_->outputs.at(layer);
}

TreeStatistics MaskedLanguageModel::ReadStatistics(Context& ctx, int64_t layer) const {
  return parts_->layers.at(layer)->attention().ReadStatistics(ctx, parts_->batch);
}

void MaskedLanguageModel::NudgeBalance(Context& ctx) {
  parts_->ForEachBalancedTree(config_,
                              [&](Tree& tree, float step) { tree.NudgeBalance(ctx, step); });
}

void MaskedLanguageModel::ForgetBalanceCounts(Context& ctx) {
  parts_->ForEachBalancedTree(config_, [&](Tree& tree, float) { tree.ForgetCounts(ctx); });
}

std::vector<Out> MaskedLanguageModel::ReadBalanceCounts(Context& ctx) {
  std::vector<Out> counts;
  parts_->ForEachBalancedTree(config_,
                              [&](Tree& tree, float) { counts.push_back(tree.ReadCounts(ctx)); });
  return counts;
}

int64_t MaskedLanguageModel::ActivationBytes() const { return parts_->activations.bytes(); }

}  // namespace treeformer
