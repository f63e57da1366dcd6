#pragma once

// ModelStage: layers [begin, end) of a model (core/model/layer_list.h), with their own parameters
// and one or several slots of activations, each for a micro-batch in flight.  The whole model on
// one rank is a stage of all layers with one slot.
//
//   stage.Load(ctx, batch, step, slot)       the batch goes to the device
//   stage.Forward(ctx, slot)                 fills outputs(slot) from inputs(slot) and the batch
//   stage.Backward(ctx, on_gradient, slot)   fills input_gradients(slot), from
//                                            output_gradients(slot)
// A stage that has the embeddings has no inputs, one that has the head no outputs.  Slots may be
// used in any order; gradients of parameters accumulate over micro-batches.  They are those of the
// SUM of the losses over the targets: the step of the optimiser divides by the number of targets
// of the global batch.
//
// With `defer_weight_gradients` Backward may be cut in two: BackwardInput, and BackwardWeights of
// the same slot at any later time before its next Forward.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/layers/masked_lm_head.h"
#include "core/metrics.h"
#include "core/model/layer_list.h"
#include "core/model/stage_slot.h"
#include "kernels/tree/statistics.h"

namespace treeformer {

// Called after each layer's Backward with the range of gradients that is finished.  Over one
// Backward the ranges cover all parameters exactly once, from the back of the buffer to its front.
using GradientHook = std::function<void(Range)>;

struct StageOptions {
  std::optional<LayerRange> layers = std::nullopt;  // absent: all
  Objective objective = MaskedLm();
  int slots = 1;
  bool defer_weight_gradients = false;
  // Layers keep nothing but their inputs: Backward makes their activations a second time.
  bool recompute = false;
  // No Backward: layers keep nothing at all.
  bool inference = false;
  // Without, CarryParameters makes the memory of the parameters from the model before.
  bool own_parameters = true;
};

BatchShape ShapeOf(const datasets::Batch& batch);

class ModelStage {
 public:
  // `largest`: the shapes of a micro-batch; later ones may be smaller in each number.  `dtype` of
  // the activations: kFloat32 on the CPU, kBFloat16 on a GPU, kFloat64 for tests of the derivative.
  ModelStage(Context& ctx, const ModelConfig& config, const BatchShape& largest, DType dtype,
             const StageOptions& options = {});
  ~ModelStage();

  void Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step, int slot = 0);
  void Forward(Context& ctx, int slot = 0);
  void Forward(Context& ctx, const datasets::Batch& batch, const StepInfo& step, int slot = 0);
  void Backward(Context& ctx, const GradientHook& on_gradient, int slot = 0);
  void BackwardInput(Context& ctx, int slot = 0);
  void BackwardWeights(Context& ctx, const GradientHook& on_gradient, int slot = 0);

  const Tensors& inputs(int slot = 0) const { return slots_.at(slot)->input(0); }
  const Tensors& input_gradients(int slot = 0) const { return slots_.at(slot)->input_gradient(0); }
  const Tensors& outputs(int slot = 0) const;
  const Tensors& output_gradients(int slot = 0) const;
  std::vector<Port> InputPorts() const;
  std::vector<Port> OutputPorts() const;

  // The named sums of the head, of the last Forward of the slot in use.
  std::vector<std::string> SumNames() const { return head().SumNames(); }
  void AddSums(Context& ctx, View<double> sums) const { head().AddSums(ctx, sums); }
  MetricSums ReadSums(Context& ctx) const;  // waits
  std::vector<int32_t> ReadPredictions(Context& ctx) const { return head().ReadPredictions(ctx); }

  // What encoder layer `layer` was given by the last Forward, [B n, d].
  In LayerInput(int64_t layer) const;
  // Statistics of an encoder layer in the last Forward; a FULL layer has density 1.
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
  const BatchShape& shape() const { return largest_; }
  int slots() const { return static_cast<int>(slots_.size()); }
  int64_t ActivationBytes() const;

 private:
  const Head& head() const;
  StageSlot& Use(int slot);
  void BackwardLayer(Context& ctx, StageSlot& slot, size_t i);
  void FinishWeights(Context& ctx, const GradientHook& on_gradient, size_t i);
  template <typename F>
  void ForEachBalancedTree(const F& f) const;

  const ModelConfig config_;
  const BatchShape largest_;
  const StageOptions options_;
  Parameters parameters_;
  LayerList layers_;
  std::vector<std::unique_ptr<StageSlot>> slots_;
  int bound_ = -1;  // the slot that the layers are bound to
};

}  // namespace treeformer
