#pragma once

// TrainingStep: what one step of the optimiser does on the device: the gradients of its
// micro-batches, their norm, one update.  The host gives out all of it without waiting and reads
// three numbers at the end; a gradient that is not finite updates nothing, which they tell.
//
//   for each micro-batch   step.Accumulate(ctx, micro, batch, info, hook)
//   (sums over ranks)
//   step.Update(ctx, optimizer, state, targets, learning_rate, t)
//   StepSums sums = step.Read(ctx)                        the one wait
//
// On a GPU with `graphs` the work of Accumulate, and that of Update, is given as one CUDA graph
// each.  The numbers that change from step to step (keys of dropout, learning rate) are arguments
// of its kernels: it is recorded anew in every step and the GPU's copy brought up to date.  Steps
// in which other layers compute DENSE's gradient give other work, and have graphs of their own. The
// first step of each kind runs without, to make temporaries and choose kernels.  A build with
// SYNC_KERNELS (kernels/runtime/check.h), which waits for every kernel, has no graphs.

#include <functional>
#include <map>
#include <vector>

#include "core/model/model.h"
#include "core/training/optimizer.h"

namespace treeformer {

struct StepSums {  // of this rank's micro-batches, but for the norm
  double loss = 0, correct = 0;
  double squared_norm = 0;  // of the summed gradient
};

class TrainingStep {
 public:
  TrainingStep(Context& ctx, MaskedLanguageModel& model, int micro_batches, bool graphs);

  // Micro-batch 0 begins a step.  With a hook, which the host must hear in time, it is not
  // recorded.
  void Accumulate(Context& ctx, int micro, const datasets::Batch& batch, const StepInfo& info,
                  const GradientHook& hook);
  // `targets`: masked positions of the global batch.  t counts updates from 1.
  void Update(Context& ctx, const Optimizer& optimizer, OptimizerState& state, double targets,
              double learning_rate, int64_t t);
  StepSums Read(Context& ctx) const;

 private:
  // By layer: whether it computes DENSE's gradient.
  using Kind = std::vector<bool>;
  struct Recorded {
    bool warm = false;                      // a whole step of this kind has run
    std::vector<runtime::Graph> gradients;  // by micro-batch
  };
  Kind KindOf(int64_t step) const;
  void Run(Context& ctx, runtime::Graph& graph, bool warm, const std::function<void()>& work);

  MaskedLanguageModel& model_;
  const int micro_batches_;
  const bool graphs_;
  Buffer sums_;  // [3] float64: StepSums
  std::map<Kind, Recorded> recorded_;
  Recorded* current_ = nullptr;  // of the step under way
  bool warm_ = false;            // an update has run
  runtime::Graph update_;
};

}  // namespace treeformer
