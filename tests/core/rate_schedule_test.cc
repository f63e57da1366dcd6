#include "core/training/rate_schedule.h"

#include <gtest/gtest.h>

namespace treeformer {

namespace {

TEST(LearningRate, WarmsUpThenDecaysLinearly) {
  const OptimizerConfig config{.learning_rate = 1, .warmup_steps = 4, .final_rate = 0.5};
  EXPECT_DOUBLE_EQ(LearningRate(config, 0, 14), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(config, 3, 14), 1);
  EXPECT_DOUBLE_EQ(LearningRate(config, 4, 14), 1);
  EXPECT_DOUBLE_EQ(LearningRate(config, 9, 14), 0.75);
  EXPECT_DOUBLE_EQ(LearningRate(config, 14, 14), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(config, 99, 14), 0.5);
}

// A plan of 10 + 4 steps: full attention, then trees of height 1.
BootstrapPlan TwoStages() {
  ModelConfig model;
  model.layers = 1;
  model.attention.resize(1);
  BootstrapConfig bootstrap;
  bootstrap.full_steps = 10;
  bootstrap.tree_steps = 4;
  bootstrap.attention.shape = TreeShape::Binary(1);
  return BootstrapPlan(model, bootstrap);
}

TEST(RateSchedule, SpansTheWholeRunOrBeginsAnewInEachStage) {
  const BootstrapPlan plan = TwoStages();
  ASSERT_EQ(plan.stages().size(), 2u);
  OptimizerConfig config{.learning_rate = 1, .warmup_steps = 2, .final_rate = 0};
  const RateSchedule whole(config, plan);
  config.restart_each_stage = true;
  const RateSchedule anew(config, plan);
  for (int64_t step = 0; step < plan.steps(); ++step) {
    EXPECT_EQ(whole.At(step), LearningRate(config, step, 14)) << step;
    const double expected =
        step < 10 ? LearningRate(config, step, 10) : LearningRate(config, step - 10, 4);
    EXPECT_EQ(anew.At(step), expected) << step;
  }
  EXPECT_EQ(anew.At(10), 0.5);
}

}  // namespace

}  // namespace treeformer
