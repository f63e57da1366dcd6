#pragma once

// A model that a run has trained, found by the flags --run_dir (its newest checkpoint) or
// --checkpoint, and made again as it was at that checkpoint.

#include <memory>
#include <optional>
#include <string>

#include "core/checkpoint/checkpoint_part.h"
#include "core/model/model_stage.h"
#include "launcher/run/run_config.h"

namespace treeformer {

struct TrainedRun {
  std::string directory;  // of the run
  CheckpointInfo checkpoint;
  std::optional<CheckpointPart> weights;
  config::RunConfig config;
  int stage = 0;  // of the bootstrap plan
};

// Throws UserError when not exactly one of the flags is given, or when it names no valid
// checkpoint.  The run may train meanwhile, and remove what was found: its weights stay open.
TrainedRun FindTrainedRun();

// The run's model with its weights, for batches of `shape`; float32.  UserError when the checkpoint
// does not fit.
std::unique_ptr<ModelStage> LoadTrainedModel(Context& ctx, const TrainedRun& run,
                                             int64_t vocabulary, const BatchShape& shape);

}  // namespace treeformer
