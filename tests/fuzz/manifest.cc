// The manifest of a checkpoint, of any bytes.

#include <nlohmann/json.hpp>

#include "core/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const std::string checkpoint = FuzzPath("checkpoints/step_5");
  PutFile(checkpoint + "/model.safetensors", "0123456789");
  PutFile(checkpoint + "/manifest.json", input);
  nlohmann::json state;
  const auto found = FindCheckpoint(FuzzPath("checkpoints"), &state);
  Promise(!found || found->path == checkpoint, "the checkpoint found is the one there is");
  OpenCheckpoint(checkpoint, &state);
}

}  // namespace treeformer
