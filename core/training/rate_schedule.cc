#include "core/training/rate_schedule.h"

#include <algorithm>

namespace treeformer {

double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps) {
  if (step < config.warmup_steps) {
    return config.learning_rate * static_cast<double>(step + 1) / config.warmup_steps;
  }
  const double decay_steps = std::max<int64_t>(1, steps - config.warmup_steps);
  const double done = std::min(1.0, (step - config.warmup_steps) / decay_steps);
  return config.learning_rate * (1 - (1 - config.final_rate) * done);
}

double RateSchedule::At(int64_t step) const {
  if (!config_.restart_each_stage) return LearningRate(config_, step, plan_.steps());
  const BootstrapStage& stage = plan_.StageOfStep(step);
  return LearningRate(config_, step - stage.first_step, stage.last_step - stage.first_step);
}

}  // namespace treeformer
