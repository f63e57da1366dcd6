#include <algorithm>
#include <iostream>

#include "kernels/base/user_error.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_plan.h"

namespace treeformer {

namespace {

int RunPlan(dist::Communicator&) {
  const config::RunConfig config = ResolveRunConfig();
  if (FLAGS_ranks < 1)
    throw UserError(Sentence("--ranks is ", FLAGS_ranks, "; expected 1 or more"));
  if (!(FLAGS_density >= 0 && FLAGS_density <= 1)) {
    throw UserError(Sentence("--density is ", FLAGS_density, "; expected 0 (balanced) to 1"));
  }
  const std::optional<dist::LaunchEnvironment> launch = dist::DetectLauncher();
  const int ranks = std::max(FLAGS_ranks, launch ? launch->size : 1);
  const Device device = DeviceFromFlag();
  ValidateRun(config, ranks, device);
  const BootstrapPlan plan = MakeBootstrapPlan(config, PlannedVocabulary(config.data()));
  PrintPlan(std::cout,
            {plan.model(), plan, config.training().batch_size(), MicroBatchOf(config, ranks), ranks,
             ActivationDType(device), FLAGS_density});
  return 0;
}

}  // namespace

Command PlanCommand() {
  return {"plan",
          "prints what a run will do and what it costs, before anything runs",
          "Stages of the bootstrapping with their steps, parameters and attention cost; attention "
          "of each layer,\nfull and with balanced trees; memory of a rank; operations of the whole "
          "run.  Needs no data.\nTrained trees are skewed: --density takes what yours have.\n\n"
          "  treeformer plan --config=bert_base_tf --ranks=64\n"
          "  treeformer plan --config=quick_start --set=bootstrap.attention.height=5\n",
          {"config", "set", "ranks", "device", "density"},
          RunPlan,
          /*uses_ranks=*/false};
}

}  // namespace treeformer
