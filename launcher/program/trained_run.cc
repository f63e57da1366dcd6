#include "launcher/program/trained_run.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/training/bootstrap_plan.h"
#include "core/training/config.h"
#include "kernels/base/user_error.h"
#include "launcher/program/flags.h"
#include "launcher/run/run_plan.h"

namespace treeformer {

namespace fs = std::filesystem;

TrainedRun FindTrainedRun() {
  if (FLAGS_run_dir.empty() == FLAGS_checkpoint.empty()) {
    throw UserError("give either --run_dir=DIR, for its newest checkpoint, or --checkpoint=DIR");
  }
  TrainedRun run;
  nlohmann::json state;
  if (FLAGS_checkpoint.empty()) {
    run.directory = FLAGS_run_dir;
    const std::string checkpoints = FLAGS_run_dir + "/checkpoints";
    run.weights = FindPart(checkpoints, "model", &state);
    if (!run.weights) throw UserError(Sentence(checkpoints, " holds no valid checkpoint"));
  } else {
    run.weights.emplace(OpenCheckpoint(FLAGS_checkpoint, &state), "model");
    run.directory = fs::weakly_canonical(FLAGS_checkpoint).parent_path().parent_path();
  }
  run.checkpoint = run.weights->checkpoint();
  try {
    run.config = ParseRunConfig(state.at("config"), run.checkpoint.path);
    if (!state.at("stage").is_number_integer()) {
      throw UserError(run.checkpoint.path + " has a stage that is no integer");
    }
    run.stage = state.at("stage");
  } catch (const nlohmann::json::exception& error) {
    throw UserError(
        Sentence(run.checkpoint.path, " does not hold the state of a run: ", error.what()));
  }
  return run;
}

std::unique_ptr<ModelStage> LoadTrainedModel(Context& ctx, const TrainedRun& run,
                                             int64_t vocabulary, const BatchShape& shape) {
  const BootstrapPlan plan = MakeBootstrapPlan(run.config, vocabulary);
  if (run.stage < 0 || run.stage >= std::ssize(plan.stages())) {
    throw UserError(Sentence(run.checkpoint.path, " stands in stage ", run.stage,
                             " of a plan that has ", plan.stages().size()));
  }
  const ModelConfig config = plan.ModelOfStage(plan.stages()[run.stage]);
  if (ctx.device() == Device::kCuda) RequireGpuKernels(config);
  auto model = std::make_unique<ModelStage>(ctx, config, shape, ActivationDType(ctx.device()));
  LoadValues(ctx, *run.weights, model->parameters());
  return model;
}

}  // namespace treeformer
