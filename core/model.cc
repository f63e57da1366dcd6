#include "core/model.h"

#include <algorithm>
#include <optional>

#include "core/embeddings.h"
#include "core/encoder_layer.h"
#include "core/masked_lm_head.h"
#include "kernels/bfloat16.h"
#include "kernels/cross_entropy.h"

namespace {

// The batch on the device, in memory that stays for the life of the model.
class DeviceBatch {
 public:
  DeviceBatch(Activations& activations, const BatchShape& shape) {
    const int64_t rows = shape.sequences * shape.length;
    for (View<int32_t>* ints : {&tokens_, &positions_, &types_}) {
      *ints = activations.MakeInts({rows});
    }
    document_ = activations.MakeInts({shape.sequences, shape.length});
    target_position_ = activations.MakeInts({shape.targets});
    target_token_ = activations.MakeInts({shape.targets});
  }

  MicroBatch Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step) {
    const auto load = [&ctx](View<int32_t> to, const std::vector<int32_t>& from) {
      Copy(ctx, to, Ids(from.data(), {static_cast<int64_t>(from.size())}));
    };
    load(tokens_, batch.tokens);
    load(positions_, batch.positions);
    load(types_, batch.types);
    load(document_, batch.document);
    load(target_position_, batch.target_position);
    load(target_token_, batch.target_token);
    std::vector<int64_t> targets_of(batch.sequences, 0);
    for (size_t m = 0; m < batch.target_token.size(); ++m) {
      if (batch.target_token[m] < 0) continue;
      ++targets_of.at(batch.target_position[m] / batch.length);
    }
    return {step,      batch.first_sample, tokens_,       positions_, types_,
            document_, target_position_,   target_token_, targets_of};
  }

 private:
  View<int32_t> tokens_, positions_, types_, document_, target_position_, target_token_;
};

// After training the row holds softmax - [target], so the target's share is added back.
template <typename T>
std::vector<int32_t> ArgMaxRows(View<T> logits, View<int32_t> target, bool training) {
  const int64_t V = logits.shape()[1];
  std::vector<int32_t> best(logits.shape()[0], datasets::kNoTarget);
  for (int64_t m = 0; m < logits.shape()[0]; ++m) {
    if (target[m] < 0) continue;
    T* row = logits.data() + m * V;
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
    const Shape rows{builder.rows(), config.width};
    first_of.push_back(0);
    outputs.push_back(activations.Make(rows));
    for (int64_t i = 0; i < config.layers; ++i) {
      first_of.push_back(parameters.list().size());
      layers.push_back(std::make_unique<EncoderLayer>(builder, i));
      outputs.push_back(activations.Make(rows));
    }
    first_of.push_back(parameters.list().size());
    if (config.pre_norm) {
      final_norm.emplace(builder, "bert.encoder.LayerNorm", builder.rows());
      normed = activations.Make(rows);
    }
    head.emplace(builder, embeddings.token_table());
    first_of.push_back(parameters.list().size());
    gradient = activations.Make(rows);
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

  Activations activations;
  DeviceBatch device_batch;
  MicroBatch batch;
  Embeddings embeddings;
  std::vector<std::unique_ptr<EncoderLayer>> layers;
  std::optional<LayerNormLayer> final_norm;  // pre-norm only
  std::optional<MaskedLmHead> head;
  std::vector<Out> outputs;  // [B n, d] of the embeddings and of each layer
  Out normed;                // the last of them under the final norm
  Out gradient;              // [B n, d] of the output that Backward has come to
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
                                         const BatchShape& shape, DType dtype)
    : config_(config), shape_(shape) {
  CHECK_EQ(static_cast<int64_t>(config.attention.size()), config.layers);
  CHECK_EQ(config.width % config.heads, 0);
  CHECK_LE(shape.length, config.max_positions);
  parts_ = std::make_unique<Parts>(ctx, config_, shape_, dtype, parameters_);
  parameters_.Allocate(ctx, dtype);
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
  parts.head->Forward(ctx, parts.final_norm ? parts.normed : parts.outputs.back(), parts.batch);
}

void MaskedLanguageModel::Backward(Context& ctx, const GradientHook& on_gradient) {
  Parts& parts = *parts_;
  CHECK(parts.batch.step.training) << "Backward after a Forward for evaluation";
  const auto finished = [&](size_t part) {
    if (!on_gradient) return;
    on_gradient(parameters_.RangeOf(parts.first_of[part], parts.first_of[part + 1]));
  };
  const Out gradient = parts.gradient;
  parts.head->Backward(ctx, gradient, parts.batch);
  if (parts.final_norm) parts.final_norm->Backward(ctx, gradient, gradient, parts.outputs.back());
  finished(parts.layers.size() + 1);
  for (size_t i = parts.layers.size(); i-- > 0;) {
    parts.layers[i]->Backward(ctx, gradient, gradient, parts.outputs[i], parts.batch);
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
  const bool training = parts_->batch.step.training;
  const Buffer host(Device::kCpu, logits.dtype(), logits.shape());
  const Buffer target(Device::kCpu, DType::kInt32, {shape_.targets});
  Copy(ctx, host, logits);
  Copy(ctx, target, parts_->batch.target_token);
  ctx.Synchronize();
  if (host.dtype() == DType::kFloat64) return ArgMaxRows<double>(host, target, training);
  if (host.dtype() == DType::kFloat32) return ArgMaxRows<float>(host, target, training);
  const Buffer wide(Device::kCpu, DType::kFloat32, logits.shape());
  cpu::WidenToFloat32(wide.as<float>().data(), host.as<BFloat16>().data(), logits.count());
  return ArgMaxRows<float>(wide, target, training);
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

std::vector<Out> MaskedLanguageModel::ReadBalanceCounts(Context& ctx) {
  std::vector<Out> counts;
  parts_->ForEachBalancedTree(config_,
                              [&](Tree& tree, float) { counts.push_back(tree.ReadCounts(ctx)); });
  return counts;
}

int64_t MaskedLanguageModel::ActivationBytes() const { return parts_->activations.bytes(); }
