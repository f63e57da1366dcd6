#include "launcher/run/run_plan.h"

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/pretrained_weights.h"
#include "core/model/model_stage.h"
#include "core/training/config.h"
#include "datasets/dataset_config.h"
#include "datasets/vocabulary.h"
#include "kernels/base/user_error.h"
#include "launcher/report/progress.h"
#include "launcher/run/cost.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_data.h"

namespace treeformer {

int64_t PlannedVocabulary(const config::DatasetConfig& data, const std::string& run_directory) {
  if (!data.has_vocabulary()) return data.vocabulary_size();
  try {
    return datasets::Vocabulary::Load(data.vocabulary()).size();
  } catch (const UserError&) {
    if (data.has_vocabulary_size()) return data.vocabulary_size();
    const std::string of_run = RunDataFiles(data, run_directory).vocabulary;
    if (run_directory.empty() || !std::filesystem::exists(of_run)) throw;
    return datasets::Vocabulary::Load(of_run).size();
  }
}

BootstrapPlan MakeBootstrapPlan(const config::RunConfig& config, int64_t vocabulary) {
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const ModelConfig model = MakeModelConfig(config.model(), vocabulary, sequences.length);
  return BootstrapPlan(model, MakeBootstrapConfig(config.bootstrap(), model));
}

BatchShape MicroBatchOf(const config::RunConfig& config, int ranks) {
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const config::Training& training = config.training();
  const int64_t share = training.batch_size() / ranks / training.micro_batches();
  const double targets = sequences.masking.rate * static_cast<double>(sequences.length);
  return {share, sequences.length, share * std::llround(targets)};
}

void ValidateRun(const config::RunConfig& config, int ranks, Device device,
                 const std::string& run_directory) {
  ValidateTraining(config, ranks);
  datasets::ValidateDatasetConfig(config.data());
  MakeOptimizerConfig(config.optimizer());
  const BootstrapPlan plan =
      MakeBootstrapPlan(config, PlannedVocabulary(config.data(), run_directory));
  if (device == Device::kCuda) {
    for (const BootstrapStage& stage : plan.stages()) RequireGpuKernels(plan.ModelOfStage(stage));
  }
  // Sizes below this many bytes do not overflow where they are multiplied as integers.
  constexpr double kMostBytes = 1e15;
  const BatchShape shape = MicroBatchOf(config, ranks);
  for (const BootstrapStage& stage : plan.stages()) {
    const MemoryCost memory = CountMemory(plan.ModelOfStage(stage), shape, ActivationDType(device));
    if (memory.Total() <= kMostBytes) continue;
    throw UserError(Sentence("the model of stage ", stage.index, " needs on each rank ",
                             DescribeMemory(memory), "; expected less than ",
                             FormatBytes(kMostBytes)));
  }
}

int64_t PlannedSteps(const config::RunConfig& config) {
  const config::Bootstrap& plan = config.bootstrap();
  return plan.full_steps() + plan.tree_steps() + plan.final_steps();
}

std::string PlanDifference(const config::RunConfig& before, const config::RunConfig& now,
                           int64_t step) {
  constexpr int64_t kAnyVocabulary = 1000;  // no stage depends on it
  const BootstrapPlan old_plan = MakeBootstrapPlan(before, kAnyVocabulary);
  const BootstrapPlan new_plan = MakeBootstrapPlan(now, kAnyVocabulary);
  const auto steps = [](const config::RunConfig& config) {
    const config::Bootstrap& plan = config.bootstrap();
    return Sentence(plan.full_steps(), " + ", plan.tree_steps(), " + ", plan.final_steps());
  };
  bool same = new_plan.steps() >= step;
  for (size_t i = 0; same && i < old_plan.stages().size(); ++i) {
    const BootstrapStage& old_stage = old_plan.stages()[i];
    if (old_stage.first_step >= step && step > 0) break;
    if (i == new_plan.stages().size()) return "the plan has fewer stages than have been begun";
    const BootstrapStage& stage = new_plan.stages()[i];
    const bool last = i + 1 == old_plan.stages().size();
    const bool ended = old_stage.last_step <= step && !last;
    same = stage.heights == old_stage.heights && stage.first_step == old_stage.first_step &&
           (ended ? stage.last_step == old_stage.last_step : stage.last_step >= step);
  }
  if (same) return "";
  return Sentence("full + tree + final steps were ", steps(before), " and are ", steps(now),
                  ", which changes the ", step, " steps done; only what comes after them may");
}

namespace {

// Refuses a checkpoint of a run where it differs in what the shapes of its tensors do not tell.
void RequireSameModel(const std::string& folder, const config::Model& now) {
  const std::optional<nlohmann::json> state = ReadState(folder);
  if (!state || !state->contains("config") || !state->at("config").is_string()) return;
  const std::string manifest = folder + "/manifest.json";
  const config::Model before = ParseRunConfig(state->at("config"), manifest).model();
  const auto require_same = [&](const char* field, auto was, auto is) {
    if (was == is) return;
    throw UserError(Sentence(std::boolalpha, manifest, ": its run had model.", field, " ", was,
                             ", this one has ", is, ": the two must agree"));
  };
  require_same("heads", before.heads(), now.heads());
  require_same("pre_norm", before.pre_norm(), now.pre_norm());
  require_same("causal", before.causal(), now.causal());
  require_same("layer_norm_epsilon", before.layer_norm_epsilon(), now.layer_norm_epsilon());
}

}  // namespace

void ValidateStartFrom(const config::RunConfig& config) {
  if (config.training().start_from().empty()) return;
  const PretrainedWeights weights(config.training().start_from());
  const int64_t planned = PlannedVocabulary(config.data());
  const BootstrapPlan plan = MakeBootstrapPlan(
      config,
      config.data().has_vocabulary() ? planned : weights.vocabulary_size().value_or(planned));
  Context ctx = Context::Cpu();
  const ModelStage model(ctx, plan.ModelOfStage(plan.stages().front()),
                         {.sequences = 1, .length = 1, .targets = 1}, DType::kFloat32,
                         {.own_parameters = false});
  RequireSameModel(weights.folder(), config.model());
  weights.Check(model.config(), model.parameters());
}

}  // namespace treeformer
