#pragma once

// RateSchedule: the learning rate of each step of a plan.  It warms up linearly, then decays
// linearly; over the whole run, or anew in each stage of the plan
// (OptimizerConfig::restart_each_stage).

#include "core/training/bootstrap_plan.h"
#include "core/training/optimizer.h"

namespace treeformer {

// The rate of update `step` (from 0) of `steps`.
double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps);

class RateSchedule {
 public:
  // `plan` outlives this.
  RateSchedule(const OptimizerConfig& config, const BootstrapPlan& plan)
      : config_(config), plan_(plan) {}

  double At(int64_t step) const;  // of the plan

 private:
  const OptimizerConfig config_;
  const BootstrapPlan& plan_;
};

}  // namespace treeformer
