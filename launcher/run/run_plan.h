#pragma once

// What is known of an experiment before its data is made: its plan, and whatever is wrong with it.

#include "core/training/bootstrap_plan.h"
#include "launcher/run/run_config.h"

namespace treeformer {

// The size of its vocabulary file, or of the vocabulary that is to be made; what the experiment
// says also where its file lies elsewhere; of a run that goes on, its own copy.  UserError when
// none is there.
int64_t PlannedVocabulary(const config::DatasetConfig& data, const std::string& run_directory = "");

// Throws UserError naming the field of model or bootstrap, its value and what is allowed.
BootstrapPlan MakeBootstrapPlan(const config::RunConfig& config, int64_t vocabulary);

// What one of `ranks` trains at a time.
BatchShape MicroBatchOf(const config::RunConfig& config, int ranks);

// Everything that the experiment alone can be refused for, before any data is read or any file is
// written.  `ranks` will run it, each on `device`.
void ValidateRun(const config::RunConfig& config, int ranks, Device device,
                 const std::string& run_directory = "");

// What forbids a run under `before`, which has done `step` steps, to go on under the plan of `now`,
// as a sentence; empty where the steps done are the same in both.  A longer plan is allowed: its
// schedule of the rate holds from here on.
std::string PlanDifference(const config::RunConfig& before, const config::RunConfig& now,
                           int64_t step);

int64_t PlannedSteps(const config::RunConfig& config);

// UserError where the model cannot begin with training.start_from: no such file, not its tensors.
// The size of a vocabulary that is still to be made is left unchecked.
void ValidateStartFrom(const config::RunConfig& config);

}  // namespace treeformer
