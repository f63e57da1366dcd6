#include <algorithm>
#include <cmath>
#include <iostream>

#include "datasets/dataset_config.h"
#include "kernels/user_error.h"
#include "launcher/commands.h"
#include "launcher/flag_values.h"
#include "launcher/flags.h"
#include "launcher/plan_report.h"
#include "launcher/run_plan.h"

namespace {

int RunPlan(dist::Communicator&) {
  const treeformer::RunConfig config = ResolveRunConfig();
  if (FLAGS_ranks < 1)
    throw UserError(Sentence("--ranks is ", FLAGS_ranks, "; expected 1 or more"));
  const std::optional<dist::LaunchEnvironment> launch = dist::DetectLauncher();
  const int ranks = std::max(FLAGS_ranks, launch ? launch->size : 1);
  ValidateRun(config, ranks, Device::kCpu);
  const treeformer::Training& training = config.training();
  const BootstrapPlan plan = MakeBootstrapPlan(config, PlannedVocabulary(config.data()));
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const int64_t micro = training.batch_size() / ranks / training.micro_batches();
  const int64_t targets =
      std::llround(sequences.masking.rate * static_cast<double>(sequences.length));
  PrintPlan(std::cout, {plan.model(),
                        plan,
                        training.batch_size(),
                        {micro, sequences.length, micro * targets},
                        ranks});
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
          RunPlan,
          /*uses_ranks=*/false};
}
