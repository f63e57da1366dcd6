#pragma once

// StepRunner: the model of a stage, and its steps on the ranks of a communicator.
//
//   each stage   a new model for its trees, initialised from the seed, then everything that fits
//                carried over from the stage before, of which only parameters and moments are kept
//   each step    gradients of all micro-batches, summed over ranks behind the last backward pass,
//                one update; the loss is the mean over the masked positions of the global batch.
//                A batch without one updates nothing

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/model/model_stage.h"
#include "core/stateful.h"
#include "core/training/bootstrap_plan.h"
#include "core/training/rate_schedule.h"
#include "core/training/training_step.h"
#include "datasets/loader.h"
#include "dist/gradient_reducer.h"
#include "launcher/run/run_config.h"
#include "launcher/training/evaluation.h"

namespace treeformer {

struct StepResult {
  MetricSums loss;          // of the global batch
  double squared_norm = 0;  // of the summed gradient
  double learning_rate = 0;
  double tokens = 0;  // of the global batch, without padding
  double seconds = 0;

  double GradientNorm() const;  // of the mean gradient
  bool IsFinite() const;        // loss and gradient
};

class StepRunner : public Stateful {
 public:
  using Hook = std::function<void()>;

  // `plan` and `train`, which is cut for this rank, outlive this.
  StepRunner(Context& ctx, dist::Communicator& communicator, const config::RunConfig& config,
             const BootstrapPlan& plan, datasets::Loader& train, bool cuda_graphs);

  // UserError, with the memory planned, where the model does not fit.
  void EnterStage(const BootstrapStage& stage);
  // Step `step` of the plan.  A loss or gradient that is not finite updates nothing, and leaves the
  // loader where it is.  `after_micro_batch`, if any, is called after each one's gradients; the
  // time that it takes is none of the step's.  Collective.
  StepResult Step(int64_t step, const Hook& after_micro_batch);

  const BootstrapStage* stage() const { return stage_; }  // null before the first
  ModelStage& model() { return *model_; }                 // of the stage
  const ModelStage& model() const { return *model_; }
  const BatchShape& shape() const { return shape_; }  // of a micro-batch
  // The fields "stage", which Restore enters; "updates", the steps done but those without a masked
  // position; and "births" (core/training/births.h).
  void Save(nlohmann::json& state) const override;
  void Restore(const nlohmann::json& state, int64_t step) override;
  // The tensors of the stage: parts "model" and "optimizer" of a checkpoint.
  std::vector<CheckpointFile> Files() const;
  void Load(const CheckpointInfo& checkpoint);
  // The last parameter whose gradient is not finite, in the order of the forward pass: where the
  // backward pass met it first; or "none".
  std::string NameOfBadGradient();

 private:
  void MakeModel(const BootstrapStage& stage);
  std::chrono::duration<double> Measure(const Hook& hook);
  void Accumulate(int64_t step, const Hook& after_micro_batch,
                  std::chrono::duration<double>& measuring);
  void SumBalanceCounts();

  Context& ctx_;
  dist::Communicator& communicator_;
  const config::Training& training_;
  const BootstrapPlan& plan_;
  datasets::Loader& train_;
  const bool cuda_graphs_;
  const RateSchedule rates_;
  Optimizer optimizer_;
  const BatchShape shape_;

  const BootstrapStage* stage_ = nullptr;
  std::unique_ptr<ModelStage> model_;
  OptimizerState state_;                          // of its parameters
  std::optional<TrainingStep> work_;              // on model_
  std::optional<dist::GradientReducer> reducer_;  // of model_'s gradients
  int64_t updates_ = 0;
};

}  // namespace treeformer
