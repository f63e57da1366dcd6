#pragma once

// The run directory:
//
//   config.textproto        the configuration as it was resolved
//   data/                   vocabulary and token files made from the run's text
//   metrics.jsonl, events.out.tfevents.*, checkpoints/step_<N>/, log/
//   lock                    held while a run is in it
//
// A directory with checkpoints goes on from the newest valid one, if the configuration gives the
// same result; it is never begun anew over them.

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "dist/communicator.h"
#include "launcher/run/run_config.h"

namespace treeformer {

// Keeps a second run out of the directory; gone with the process, however it ends.
class RunLock {
 public:
  explicit RunLock(const std::string& path);  // UserError when another process holds it
  RunLock(const RunLock&) = delete;
  ~RunLock();

 private:
  int fd_;
};

struct RunStart {
  std::unique_ptr<RunLock> lock;             // on rank 0
  std::optional<CheckpointInfo> checkpoint;  // empty: from the beginning
  nlohmann::json state;                      // of the checkpoint
};

// Makes what is missing and finds where to start; the same on every rank.  Collective.  Throws
// UserError when the directory cannot be made, is in use, holds a run of another configuration,
// holds only damaged checkpoints, or holds checkpoints and `resume` is false.
RunStart OpenRunDirectory(dist::Communicator& communicator, const std::string& directory,
                          const config::RunConfig& config, bool resume);

// Makes DIRECTORY/log.  From now on glog's files are rank_RANK.* there; warnings go to stderr too.
// For the whole process: call it once, in the command.
void LogTo(const std::string& directory, int rank);

}  // namespace treeformer
