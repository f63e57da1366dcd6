#pragma once

// AdamW with clipping, for groups of parameters.  core/training/rate_schedule.h gives its rate.

#include <cstdint>
#include <functional>
#include <vector>

#include "core/training/optimizer_state.h"
#include "kernels/adamw.h"

namespace treeformer {

struct OptimizerConfig {
  double learning_rate = 1e-4;  // peak
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;       // of the groups that decay
  double clip_norm = 1.0;           // of the mean gradient; 0: no clipping
  int64_t warmup_steps = 0;         // linear from 0
  double final_rate = 0;            // share of the peak at the end of the linear decay
  bool restart_each_stage = false;  // the schedule spans a stage of the plan, not the whole run
};

// Parameters that are updated alike.
struct ParameterGroup {
  std::function<bool(const Parameter&)> holds;
  double rate_factor = 1;  // times the learning rate
  bool decay = true;       // by OptimizerConfig::weight_decay
  // Values and moments stay, and updates are not counted.  The gradient still counts in the norm
  // that clips, if the caller sums it.
  bool frozen = false;
};

// Those whose role decays (core/parameters.h), then all others, without decay.
std::vector<ParameterGroup> GroupsByRole();

class Optimizer {
 public:
  // A parameter is of the first of the `groups` that holds it; none is fatal.
  explicit Optimizer(const OptimizerConfig& config,
                     std::vector<ParameterGroup> groups = GroupsByRole())
      : config_(config), groups_(std::move(groups)) {}

  // One update of the range of `state`, which may cut a parameter anywhere: each element becomes
  // what it would in an update of all.  Both on the device: `targets` [1] of the global batch, by
  // which the summed gradient is divided, 0: nothing is updated; `squared_norm` [1] of the whole
  // summed gradient (all shards).
  // t counts updates from 1, over the whole run; the bias of a parameter's moments is corrected for
  // its own (OptimizerState::born).
  void Step(Context& ctx, Parameters& parameters, OptimizerState& state,
            View<const double> squared_norm, View<const double> targets, double learning_rate,
            int64_t t) const;
  // After a Step that updated: it is none of the own updates of frozen parameters.
  void CountUpdate(const Parameters& parameters, OptimizerState& state) const;

 private:
  const OptimizerConfig config_;
  const std::vector<ParameterGroup> groups_;
};

}  // namespace treeformer
