#pragma once

// Checkpoints: a directory `step_<N>` of safetensors files and a manifest.
//
//   model.safetensors       every parameter under its name
//   optimizer.safetensors   "<name>.first_moment", "<name>.second_moment"
//   manifest.json           format version, step, size and xxh3 hash of each file, and `state`:
//                           whatever else resuming needs (configuration, loader, plan, seeds);
//                           itself hashed
// Written aside (`step_<N>.unfinished-treeformer`), every file fsynced, the directory renamed, its
// parent fsynced: a checkpoint exists whole or not at all.  The newest valid one wins; a damaged
// one is named and skipped.  Only valid ones count among those to keep; what stands in the way of
// newer ones is set aside as step_<N>.set_aside, until the run has passed it.  A folder step_<N>
// without a manifest is nobody's checkpoint, and stays.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>

#include "core/checkpoint/safetensors.h"
#include "core/parameters.h"

namespace treeformer {

// Throws UserError when the disk refuses (full, read-only): names the file and the reason; the
// checkpoints before stay as they are.
void SaveCheckpoint(Context& ctx, const std::string& directory, int64_t step,
                    const Parameters& parameters, const nlohmann::json& state);
// Steps after `step`, from which a run goes on: they are damaged, or another run's.
void SetAsideCheckpointsAfter(const std::string& directory, int64_t step);
// `valid`: steps whose checkpoints this run has written or verified.  Removes what is older than
// the newest `keep` of them, set aside or not, if there are so many, and what a killed run left
// unfinished.
void PruneCheckpoints(const std::string& directory, int keep, const std::set<int64_t>& valid);
// Any folder step_<N>, valid or not.
bool HasCheckpoints(const std::string& directory);

struct CheckpointInfo {
  int64_t step = 0;
  std::string path;
};
// The newest checkpoint whose manifest and hashes are right; each damaged one is logged by name
// with what is wrong.  `state` receives its state.  Empty: there is none.
std::optional<CheckpointInfo> FindCheckpoint(const std::string& directory, nlohmann::json* state);
// A given checkpoint directory; throws UserError naming the file that is missing or damaged.
CheckpointInfo OpenCheckpoint(const std::string& path, nlohmann::json* state);
// Fills values and moments of `parameters`; throws UserError when names or shapes disagree.
void LoadCheckpoint(Context& ctx, const CheckpointInfo& checkpoint, Parameters& parameters);

// The values alone, held open: they can be loaded even after a run that writes meanwhile has
// removed the checkpoint.
class CheckpointWeights {
 public:
  explicit CheckpointWeights(const CheckpointInfo& checkpoint);

  void Load(Context& ctx, Parameters& parameters) const;  // as LoadCheckpoint

 private:
  const std::string path_;
  const Safetensors file_;
};

}  // namespace treeformer
