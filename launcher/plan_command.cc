#include <algorithm>
#include <cmath>
#include <iostream>

#include "core/config.h"
#include "datasets/dataset_config.h"
#include "datasets/vocabulary.h"
#include "kernels/user_error.h"
#include "launcher/commands.h"
#include "launcher/flag_values.h"
#include "launcher/flags.h"
#include "launcher/plan_report.h"

namespace {

// Without its file, as for an experiment whose data lies elsewhere, the size the experiment says.
int64_t VocabularySize(const treeformer::DatasetConfig& data) {
  if (!data.has_vocabulary()) return data.vocabulary_size();
  try {
    return datasets::Vocabulary::Load(data.vocabulary()).size();
  } catch (const UserError&) {
    if (data.has_vocabulary_size()) return data.vocabulary_size();
    throw;
  }
}

int RunPlan(dist::Communicator& communicator) {
  const treeformer::RunConfig config = ResolveRunConfig();
  if (FLAGS_ranks < 1)
    throw UserError(Sentence("--ranks is ", FLAGS_ranks, "; expected 1 or more"));
  const int ranks = std::max(FLAGS_ranks, communicator.size());
  ValidateTraining(config, ranks);
  const treeformer::Training& training = config.training();
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const ModelConfig model =
      MakeModelConfig(config.model(), VocabularySize(config.data()), sequences.length);
  const BootstrapPlan plan(model, MakeBootstrapConfig(config.bootstrap(), model));
  MakeOptimizerConfig(config.optimizer());
  if (plan.stages().empty()) {
    throw UserError("bootstrap gives no steps; set full_steps, or tree_steps with attention");
  }
  const int64_t micro = training.batch_size() / ranks / training.micro_batches();
  const int64_t targets =
      std::llround(sequences.masking.rate * static_cast<double>(sequences.length));
  if (communicator.rank() == 0) {
    PrintPlan(
        std::cout,
        {model, plan, training.batch_size(), {micro, sequences.length, micro * targets}, ranks});
  }
  return 0;
}

}  // namespace

Command PlanCommand() {
  return {"plan",
          "prints what a run will do and what it costs, before anything runs",
          "Stages of the bootstrapping with their steps, parameters and attention cost; attention "
          "of each layer,\nfull and with balanced trees; memory of a rank; operations of the whole "
          "run.  Needs no data.\n\n"
          "  treeformer plan --config=bert_base_tf --ranks=64\n"
          "  treeformer plan --config=quick_start --set=bootstrap.attention.height=5\n",
          {"config", "set", "ranks"},
          RunPlan};
}
