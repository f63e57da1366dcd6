#include "launcher/plan_report.h"

#include <gtest/gtest.h>

#include <sstream>

#include "core/config.h"
#include "launcher/run_config.h"

namespace {

TEST(PlanReport, TellsStagesLayersMemoryAndOperations) {
  const auto config = ReadRunConfig(FindExperiment("bert_base_tf"));
  const ModelConfig model = MakeModelConfig(config.model(), 30522, 512);
  const BootstrapPlan plan(model, MakeBootstrapConfig(config.bootstrap(), model));
  std::ostringstream out;
  PrintPlan(out, {model, plan, 1024, {16, 512, 16 * 77}, 64});
  const std::string text = out.str();
  // BERT base has 110M parameters; TF with four leaves does a quarter of the attention and routes.
  for (const char* words :
       {"2250000 steps of 1024 sequences, 64 ranks", "stage 0: full attention, steps 0-450000",
        "stage 8: layers 1-12 are trees, growing to height 2, steps 2025000-2250000",
        "parameters   110M", "    12    TF       2       4", "25.4 %", "memory of one rank"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  }
}

}  // namespace
