#pragma once

// Training one small model on one task, and what came of it.

#include <functional>
#include <string>
#include <vector>

#include "core/model/model_stage.h"
#include "core/training/training_step.h"
#include "launcher/bench/router/task.h"

namespace treeformer::bench {

struct TaskResult {
  double loss = 0;              // held-out, nats
  double accuracy = 0;          // held-out
  std::vector<double> density;  // per layer
};

// One model of a task, trained in one go or, with new attention, further.
class TaskTraining {
 public:
  // Where `ctx` is: on a CPU in float32, on a GPU in bfloat16.  Steps are the trainer's.
  TaskTraining(const Task& task, ModelConfig config, uint64_t seed, Context ctx = Context::Cpu(),
               bool cuda_graphs = false);

  // AdamW with 5 % warm-up, then linear decay to a tenth.  `progress` is told the step.
  void Train(int64_t steps, double learning_rate, const std::function<void(int64_t)>& progress);
  // The same weights with other attention in every layer; what is new is random
  // (core/training/carry.h).
  void SetAttention(const std::vector<AttentionConfig>& attention);
  TaskResult Evaluate();
  double Density();  // of the last step, mean over the layers; 1 for full attention

  TaskTraining Copy() const;  // on the CPU
  Context& context() { return ctx_; }

 private:
  std::unique_ptr<ModelStage> MakeModel();
  void UseModel(std::unique_ptr<ModelStage> model, OptimizerState state);

  const Task& task_;
  const uint64_t seed_;
  const bool cuda_graphs_;
  Context ctx_;
  ModelConfig config_;
  std::unique_ptr<ModelStage> model_;
  OptimizerState state_;                // of its parameters
  std::unique_ptr<TrainingStep> work_;  // of model_
  int64_t step_ = 0;                    // over all calls of Train
};

}  // namespace treeformer::bench
