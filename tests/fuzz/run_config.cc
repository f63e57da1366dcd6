// An experiment as text proto, a NUL, and overrides as --set has them: parsed, printed, validated
// and planned.

#include "launcher/run/run_config.h"

#include <algorithm>
#include <sstream>

#include "kernels/base/user_error.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_plan.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const size_t cut = std::min(input.find('\0'), input.size());
  config::RunConfig config = ParseRunConfig(std::string(input.substr(0, cut)), "experiment");
  if (cut < input.size()) ApplyOverrides(std::string(input.substr(cut + 1)), config);
  const config::RunConfig again = ParseRunConfig(PrintRunConfig(config), "printed");
  Promise(PrintRunConfig(again) == PrintRunConfig(config), "what is printed is read the same");
  if (config.data().has_vocabulary()) {  // no file of the machine
    config.mutable_data()->clear_vocabulary();
    config.mutable_data()->set_vocabulary_size(100);
  }
  constexpr int kRanks = 2;
  ValidateRun(config, kRanks, Device::kCpu);
  const BootstrapPlan plan = MakeBootstrapPlan(config, PlannedVocabulary(config.data()));
  if (plan.stages().size() > 100) return;
  Promise(plan.steps() >= 0, "steps are counted");
  std::ostringstream out;
  PrintPlan(out, {plan.model(), plan, config.training().batch_size(), MicroBatchOf(config, kRanks),
                  kRanks, DType::kFloat32, /*density=*/0});
}

}  // namespace treeformer
