#pragma once

// A part of a checkpoint ("model", "optimizer"), held open: it can be loaded even after a run that
// writes meanwhile has removed the checkpoint.  Whatever files its tensors were cut into, any slice
// of them can be loaded.

#include <deque>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/safetensors.h"
#include "core/parameters.h"

namespace treeformer {

class CheckpointPart {
 public:
  // `checkpoint` as FindCheckpoint or OpenCheckpoint gave it.  UserError where it has no such part,
  // or a file of it can no longer be read.
  CheckpointPart(const CheckpointInfo& checkpoint, const std::string& part);

  // Fills `tensors`.  UserError naming the file and the tensor that is missing, has another shape
  // or type, or of which not all elements are stored.
  void Load(Context& ctx, const std::vector<TensorSlice>& tensors) const;
  int64_t tensors() const { return std::ssize(slices_); }
  const CheckpointInfo& checkpoint() const { return checkpoint_; }
  const std::string& path() const { return path_; }  // of its first file

 private:
  struct Stored {
    const StoredTensor* tensor;
    std::string path;
    Range elements;
  };
  void Load(Context& ctx, const TensorSlice& slice) const;

  CheckpointInfo checkpoint_;
  std::string path_;
  std::deque<Safetensors> files_;                      // at addresses that stay
  std::map<std::string, std::vector<Stored>> slices_;  // of a tensor, by its first element
};

// Fills the values from the part "model", whose tensors they all are; UserError where it has more.
void LoadValues(Context& ctx, const CheckpointPart& model, Parameters& parameters);

// The part of the newest checkpoint that FindCheckpoint finds.  A run that trains meanwhile may
// remove what was found before it is opened; then there is a newer one.
std::optional<CheckpointPart> FindPart(const std::string& directory, const std::string& part,
                                       nlohmann::json* state);

}  // namespace treeformer
