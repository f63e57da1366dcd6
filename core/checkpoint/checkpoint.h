#pragma once

// Checkpoints: a directory `step_<N>` of safetensors files and a manifest.
//
//   model.safetensors       part "model": every parameter under its name
//   optimizer.safetensors   part "optimizer": "<name>.first_moment", "<name>.second_moment"
//   manifest.json           format version, step, size and xxh3 hash of each file, and `state`:
//                           whatever else resuming needs (configuration, loader, plan, seeds);
//                           itself hashed
// A part is a set of named tensors.  It may be cut into files PART-00001-of-00002.safetensors,
// whose slices together make the tensors; checkpoint_part.h reads it however it is cut.
//
// Written aside (`step_<N>.unfinished-treeformer`), every file fsynced, the directory renamed, its
// parent fsynced: a checkpoint exists whole or not at all.  The newest valid one wins; a damaged
// one is named and skipped.  Only valid ones count among those to keep; what stands in the way of
// newer ones is set aside as step_<N>.set_aside, until the run has passed it.  A folder step_<N>
// without a manifest is nobody's checkpoint, and stays.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/tensor_slice.h"
#include "kernels/runtime/context.h"

namespace treeformer {

struct CheckpointFile {
  std::string part;
  std::vector<TensorSlice> tensors;
  int shard = 0, shards = 1;  // of the part
};

// Whether a file of a checkpoint is, or is cut from, its part.
bool IsFileOfPart(const std::string& file, const std::string& part);

// Throws UserError when the disk refuses (full, read-only): names the file and the reason; the
// checkpoints before stay as they are.
void SaveCheckpoint(Context& ctx, const std::string& directory, int64_t step,
                    const std::vector<CheckpointFile>& files, const nlohmann::json& state);
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
  std::vector<std::string> files;  // as the manifest names them
};
// The newest checkpoint whose manifest and hashes are right; each damaged one is logged by name
// with what is wrong.  `state` receives its state.  Empty: there is none.
std::optional<CheckpointInfo> FindCheckpoint(const std::string& directory, nlohmann::json* state);
// What the manifest in `folder` says of the run, without a look at the files beside it; empty where
// there is no manifest.  Throws UserError where it is damaged.
std::optional<nlohmann::json> ReadState(const std::string& folder);
// A given checkpoint directory; throws UserError naming the file that is missing or damaged.
CheckpointInfo OpenCheckpoint(const std::string& path, nlohmann::json* state);

}  // namespace treeformer
