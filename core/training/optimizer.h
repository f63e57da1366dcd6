#pragma once

// AdamW with warm-up, linear decay and clipping.

#include <cstdint>

#include "core/parameters.h"
#include "kernels/adamw.h"

namespace treeformer {

struct OptimizerConfig {
  double learning_rate = 1e-4;  // peak
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;       // not on bias, layer norm, tree bias
  double clip_norm = 1.0;           // of the mean gradient; 0: no clipping
  int64_t warmup_steps = 0;         // linear from 0
  double final_rate = 0;            // share of the peak at the end of the linear decay
  bool restart_each_stage = false;  // the schedule spans a stage of the plan, not the whole run
};

// The rate of update `step` (from 0) of `steps`: linear warm-up, then linear decay.
double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps);

class Optimizer {
 public:
  explicit Optimizer(const OptimizerConfig& config) : config_(config) {}

  // One update of `range` (a shard, or all).  `targets`: masked positions of the global batch, by
  // which the summed gradient is divided.  `squared_norm`: of the whole summed gradient (all
  // shards).  t counts updates from 1, over the whole run; the bias of a parameter's moments is
  // corrected for those since it was born.  `range` holds trees whole.
  void Step(Context& ctx, Parameters& parameters, Range range, View<const double> squared_norm,
            double targets, double learning_rate, int64_t t) const;

 private:
  const OptimizerConfig config_;
};

}  // namespace treeformer
