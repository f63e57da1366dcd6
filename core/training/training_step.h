#pragma once

// TrainingStep: what one step of the optimiser does on the device, as verbs.  The host gives out
// all of it without waiting and reads the sums at the end; a gradient that is not finite, or a
// global batch without a target, updates nothing, which they tell.
//
//   step.Begin(ctx, info)
//   for each action of a schedule (dist/schedule.h)
//     step.Forward(ctx, micro, batch)      step.Backward(ctx, micro, hook)
//   sum gradients and step.sums() over ranks
//   step.Update(ctx, optimizer, state, learning_rate, t)
//   StepSums sums = step.Read(ctx)                        the one wait
//
// Micro-batch i takes slot i modulo the number of slots of the model.
// On a GPU with `graphs` the work of each verb is given as one CUDA graph.  The numbers that change
// from step to step (keys of dropout, learning rate) are arguments of its kernels: it is recorded
// anew in every step and the GPU's copy brought up to date.  Steps in which other layers compute
// DENSE's gradient give other work, and have graphs of their own.  The first step of each kind runs
// without, to make temporaries and choose kernels.  A build with SYNC_KERNELS
// (kernels/runtime/check.h), which waits for every kernel, has no graphs.

#include <functional>
#include <map>
#include <vector>

#include "core/model/model_stage.h"
#include "core/training/optimizer.h"

namespace treeformer {

struct StepSums {
  MetricSums metrics;       // with the targets
  double tokens = 0;        // without padding
  double squared_norm = 0;  // of the summed gradient
};

class TrainingStep {
 public:
  TrainingStep(Context& ctx, ModelStage& model, int micro_batches, bool graphs);

  void Begin(Context& ctx, const StepInfo& info);
  void Forward(Context& ctx, int micro, const datasets::Batch& batch);
  // With a hook, which the host must hear in time, it is not recorded.
  void Backward(Context& ctx, int micro, const GradientHook& hook);
  // After the last verb: what the ranks add, [names of the head.., targets, tokens] float64.
  View<double> sums(Context& ctx);
  // t counts updates from 1.
  void Update(Context& ctx, const Optimizer& optimizer, OptimizerState& state, double learning_rate,
              int64_t t);
  StepSums Read(Context& ctx) const;

 private:
  // By layer: whether it computes DENSE's gradient.
  using Kind = std::vector<bool>;
  struct Recorded {
    bool warm = false;                              // a whole step of this kind has run
    std::vector<runtime::Graph> forward, backward;  // by micro-batch
  };
  Kind KindOf(int64_t step) const;
  void Run(Context& ctx, runtime::Graph& graph, bool warm, const std::function<void()>& work);
  int SlotOf(int micro) const { return micro % model_.slots(); }

  ModelStage& model_;
  const int micro_batches_;
  const bool graphs_;
  const std::vector<std::string> names_;  // of the head's sums
  const int64_t count_;                   // of names_
  Buffer sums_;                           // [names.., targets, tokens, squared norm] float64
  StepInfo info_;                         // of the step under way
  double counts_[2] = {};                 // its targets and tokens on this rank
  std::map<Kind, Recorded> recorded_;
  Recorded* current_ = nullptr;  // of the step under way
  bool warm_ = false;            // an update has run
  runtime::Graph update_;
};

}  // namespace treeformer
