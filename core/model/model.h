#pragma once

// MaskedLanguageModel: the BERT encoder with its tied masked-LM head.
//
//   Devlin et al. 2019; attention per layer as ModelConfig says: full, TF or TC.
//
// Forward in order, Backward in the reverse order, once each per micro-batch; gradients accumulate
// over micro-batches.  They are those of the SUM of the losses over the masked positions: whoever
// steps the optimiser divides by the number of masked positions of the global batch.

#include <functional>
#include <memory>
#include <vector>

#include "core/layer.h"
#include "core/model_config.h"
#include "core/parameters.h"
#include "datasets/batch.h"
#include "kernels/tree/statistics.h"

namespace treeformer {

// Called after each layer's Backward with the range of gradients that is finished.  Over one
// Backward the ranges cover all parameters exactly once, from the back of the buffer to its front.
using GradientHook = std::function<void(Range)>;

struct LossSum {    // over the masked positions of one or several micro-batches
  double loss = 0;  // nats
  int64_t correct = 0;
  int64_t targets = 0;

  LossSum& operator+=(const LossSum& other);
  // NaN without targets.
  double MeanLoss() const { return loss / static_cast<double>(targets); }
  double Accuracy() const { return static_cast<double>(correct) / static_cast<double>(targets); }
};

class MaskedLanguageModel {
 public:
  // dtype, of the activations: kFloat32 on the CPU, kBFloat16 on a GPU, kFloat64 for tests of
  // the derivative.
  // Without memory for the parameters CarryParameters makes it from the model before.
  enum class ParameterMemory { kOwn, kCarried };
  MaskedLanguageModel(Context& ctx, const ModelConfig& config, const BatchShape& shape, DType dtype,
                      ParameterMemory memory = ParameterMemory::kOwn);
  ~MaskedLanguageModel();

  // Load, then Forward.
  void Forward(Context& ctx, const datasets::Batch& batch, const StepInfo& step);
  // `batch` goes to the device; the work that follows is on it.
  void Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step);
  void Forward(Context& ctx);
  void Backward(Context& ctx, const GradientHook& on_gradient);
  // Of the last Forward, on the device: sums [2] float64 += {loss, correct}.
  void AddLoss(Context& ctx, View<double> sums) const;
  // Of the last Forward; waits for it.
  LossSum ReadLoss(Context& ctx) const;
  // Predicted ids at the target positions of the last Forward: [M], kNoTarget in unused slots.
  std::vector<int32_t> ReadPredictions(Context& ctx) const;

  // Of the last Forward: what a layer was given, [B n, d].
  In LayerInput(int64_t layer) const;
  // Of the last Forward, per layer; a FULL layer has density 1.
  TreeStatistics ReadStatistics(Context& ctx, int64_t layer) const;
  // Loss-free balancing (Balance::kBias): nudges the trees after a step.  No-op otherwise.
  // With several ranks the caller first sums ReadBalanceCounts (float32, host memory; empty unless
  // kBias) over the ranks, so that all move alike.
  void NudgeBalance(Context& ctx);
  std::vector<Out> ReadBalanceCounts(Context& ctx);
  void ForgetBalanceCounts(Context& ctx);  // after a step that updates nothing

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  Parameters TakeParameters() { return std::move(parameters_); }  // and then no more than die
  const ModelConfig& config() const { return config_; }
  int64_t ActivationBytes() const;

 private:
  class Parts;  // embeddings, layers, head
  const ModelConfig config_;
  const BatchShape shape_;
  Parameters parameters_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace treeformer
