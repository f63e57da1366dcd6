#pragma once

// Stages [begin, end) of a bootstrap plan: the part of a run that one command trains, so that a
// cluster can give each part a job of its own.  A run in parts has the bits of a run in one.

#include <string>

#include "core/training/bootstrap_plan.h"

namespace treeformer {

struct StageRange {
  int begin = 0, end = 0;

  int64_t first_step(const BootstrapPlan& plan) const { return plan.stages()[begin].first_step; }
  int64_t last_step(const BootstrapPlan& plan) const { return plan.stages()[end - 1].last_step; }
  bool IsLast(const BootstrapPlan& plan) const { return end == std::ssize(plan.stages()); }
};

// "0:2", or nothing for the whole plan.  UserError for anything else, and for stages that the plan
// does not have.
StageRange ParseStages(const std::string& text, const BootstrapPlan& plan);

// UserError where a run that has done `step` steps has not done the stages before `range`.
void RequireStagesBefore(const StageRange& range, const BootstrapPlan& plan, int64_t step,
                         const std::string& run_directory);

// "stages 0 to 1 of 5 are done; go on with --stages=2:5 ..."
std::string DescribeEnd(const StageRange& range, const BootstrapPlan& plan);

}  // namespace treeformer
