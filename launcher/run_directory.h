#pragma once

// The run directory:
//
//   config.textproto        the configuration as it was resolved
//   data/                   vocabulary and token files made from the run's text
//   metrics.jsonl, events.out.tfevents.*, checkpoints/step_<N>/, log/
//
// A directory with checkpoints goes on from the newest valid one, if the configuration gives the
// same result; it is never begun anew over them.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/checkpoint.h"
#include "dist/communicator.h"
#include "launcher/run_config.h"

struct RunStart {
  std::optional<CheckpointInfo> checkpoint;  // empty: from the beginning
  nlohmann::json state;                      // of the checkpoint
};

// Makes what is missing and finds where to start; the same on every rank.  Collective.  Throws
// UserError when the directory cannot be made, holds a run of another configuration, holds only
// damaged checkpoints, or holds checkpoints and `resume` is false.
RunStart OpenRunDirectory(dist::Communicator& communicator, const std::string& directory,
                          const treeformer::RunConfig& config, bool resume);

// glog's files go to DIRECTORY/log, one per rank; warnings go to stderr too.
void LogTo(const std::string& directory, int rank);
