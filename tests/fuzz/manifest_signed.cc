// A manifest with the right hash of what it says, and the run that would go on from it.

#include <xxhash.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/strict_json.h"
#include "core/training/births.h"
#include "dist/local_communicator.h"
#include "kernels/base/user_error.h"
#include "launcher/run/run_directory.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

namespace {

void RestoreFrom(const nlohmann::json& state) {
  static const Parameters parameters = [] {
    Parameters declared;
    declared.Declare("tree", {2, 3}, Initializer::Zeros(), Role::kTreeBias, /*layer=*/0, {1, 3});
    return declared;
  }();
  if (!state.is_object()) return;
  OptimizerState births(parameters, {0, parameters.count()});
  RestoreBirths(state.value("births", nlohmann::json::object()), /*updates=*/5, parameters, births);
}

}  // namespace

void FuzzOne(std::string_view input) {
  const nlohmann::json manifest = ParseStrictJson(input, /*most_depth=*/64);
  const std::string text = manifest.dump();
  const uint64_t hash = XXH3_64bits(text.data(), text.size());
  const nlohmann::json whole = {{"manifest", manifest}, {"xxh3", Sentence(std::hex, hash)}};
  const std::string run = FuzzPath("run"), checkpoint = run + "/checkpoints/step_5";
  std::filesystem::remove_all(run);
  PutFile(checkpoint + "/model.safetensors", "0123456789");
  PutFile(checkpoint + "/manifest.json", whole.dump());
  nlohmann::json state;
  OpenCheckpoint(checkpoint, &state);
  RestoreFrom(state);
  static const auto communicator = dist::MakeSingleRank();
  OpenRunDirectory(*communicator, run, {}, /*resume=*/true);
}

}  // namespace treeformer
