#pragma once

// One training run, from its text to the summary: run directory, data, trainer.

#include <string>

#include "dist/communicator.h"
#include "launcher/report/progress.h"
#include "launcher/run/run_config.h"

namespace treeformer {

// Runs `config` in `directory`, which goes on from its newest checkpoint; returns the exit status.
// ValidateRun has passed it.
// The same on every rank.  Collective.  Throws UserError.
int RunTraining(dist::Communicator& communicator, const config::RunConfig& config,
                const std::string& directory, bool resume, const DeviceChoice& device,
                Progress& progress);

}  // namespace treeformer
