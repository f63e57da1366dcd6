#pragma once

// One training run, from its text to the summary: run directory, data, trainer.

#include <string>

#include "dist/communicator.h"
#include "launcher/report/progress.h"
#include "launcher/run/run_config.h"
#include "launcher/run/run_text.h"
#include "launcher/run/stage_range.h"

namespace treeformer {

// What one command trains of a run, and on which text.
struct RunPart {
  bool resume = true;  // else a run that has checkpoints is refused
  StageRange stages;   // with the last of the plan come the controls and the summary
  RunText text;        // on rank 0
};

// Runs that part of `config` in `directory`, from its newest checkpoint on; returns the exit
// status.  ValidateRun has passed it.  The same on every rank.  Collective.  Throws UserError.
int RunTraining(dist::Communicator& communicator, const config::RunConfig& config,
                const std::string& directory, const RunPart& part, const DeviceChoice& device,
                Progress& progress);

}  // namespace treeformer
