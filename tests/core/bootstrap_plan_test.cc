#include "core/training/bootstrap_plan.h"

#include <gtest/gtest.h>

#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

ModelConfig Model(int64_t layers) {
  ModelConfig model;
  model.layers = layers;
  model.attention.resize(layers);
  return model;
}

BootstrapConfig Bootstrap(int height, int64_t layer_width, int64_t tree_steps) {
  BootstrapConfig bootstrap;
  bootstrap.tree_steps = tree_steps;
  bootstrap.layer_width = layer_width;
  bootstrap.attention.kind = &kTfAttention;
  bootstrap.attention.shape = TreeShape::Binary(height);
  return bootstrap;
}

using Heights = std::vector<int>;

// The paper's Table 6: 12 layers, w = 3, h_f = 2.
TEST(BootstrapPlan, UnrollsAlgorithm1LayersByHeights) {
  const BootstrapPlan plan(Model(12), Bootstrap(2, /*layer_width=*/3, /*tree_steps=*/1'800'000));
  ASSERT_EQ(plan.stages().size(), 4u * 2u);
  EXPECT_EQ(plan.stages()[0].heights, (Heights{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(plan.stages()[1].heights, (Heights{0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2}));
  EXPECT_EQ(plan.stages()[2].heights, (Heights{0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(plan.stages()[7].heights, Heights(12, 2));
  for (const BootstrapStage& stage : plan.stages())
    EXPECT_EQ(stage.last_step - stage.first_step, 225'000);
  for (const BootstrapStage& stage : plan.stages()) EXPECT_EQ(stage.regrown, 0);
  EXPECT_EQ(plan.steps(), 1'800'000);
}

TEST(BootstrapPlan, RegrowsAllTreeLayersToTheLetterWhenAsked) {
  BootstrapConfig bootstrap = Bootstrap(2, 1, 60);
  bootstrap.regrow = true;
  const BootstrapPlan plan(Model(3), bootstrap);
  ASSERT_EQ(plan.stages().size(), 6u);
  EXPECT_EQ(plan.stages()[1].heights, (Heights{0, 0, 2}));
  EXPECT_EQ(plan.stages()[2].heights, (Heights{0, 1, 1}));
  EXPECT_EQ(plan.stages()[5].heights, (Heights{2, 2, 2}));
  for (const BootstrapStage& stage : plan.stages()) EXPECT_EQ(stage.regrown, stage.index / 2);
}

TEST(BootstrapPlan, TakesFewerLayersInTheLastGroupWhenTheWidthDoesNotDivide) {
  const BootstrapPlan plan(Model(5), Bootstrap(1, 2, 30));
  ASSERT_EQ(plan.stages().size(), 3u);
  EXPECT_EQ(plan.stages()[1].first_tree_layer, 1);
  EXPECT_EQ(plan.stages()[2].first_tree_layer, 0);
  EXPECT_EQ(plan.stages()[2].heights, Heights(5, 1));
}

TEST(BootstrapPlan, LeavesTheFirstLayersFullWhenOnlySomeBecomeTrees) {
  BootstrapConfig bootstrap = Bootstrap(1, 2, 30);
  bootstrap.tree_layers = 3;
  const BootstrapPlan plan(Model(5), bootstrap);
  ASSERT_EQ(plan.stages().size(), 2u);
  EXPECT_EQ(plan.stages()[0].heights, (Heights{0, 0, 0, 1, 1}));
  EXPECT_EQ(plan.stages()[1].heights, (Heights{0, 0, 1, 1, 1}));
}

TEST(BootstrapPlan, StepsAddUpWithFullAndFinalSteps) {
  BootstrapConfig bootstrap = Bootstrap(3, 1, 100);  // 6 stages of 17 or 16
  bootstrap.full_steps = 11;
  bootstrap.final_steps = 7;
  const BootstrapPlan plan(Model(2), bootstrap);
  EXPECT_EQ(plan.steps(), 11 + 100 + 7);
  int64_t step = 0;
  for (const BootstrapStage& stage : plan.stages()) {
    EXPECT_EQ(stage.first_step, step);
    for (; step < stage.last_step; ++step) EXPECT_EQ(plan.StageOfStep(step).index, stage.index);
  }
  EXPECT_EQ(plan.stages()[1].last_step - plan.stages()[1].first_step, 17);
  EXPECT_EQ(plan.stages()[5].last_step - plan.stages()[5].first_step, 16);
  EXPECT_EQ(plan.StageOfStep(1'000'000).index, 6);
}

TEST(BootstrapPlan, GivesEachStageItsModel) {
  BootstrapConfig bootstrap = Bootstrap(0, 1, 100);
  bootstrap.attention.shape = TreeShape::Kary({100, 10});
  bootstrap.start_height = 0;
  const BootstrapPlan plan(Model(2), bootstrap);
  const ModelConfig first = plan.ModelOfStage(plan.stages()[0]);
  EXPECT_EQ(first.attention[0].kind, &kFullAttention);
  EXPECT_EQ(first.attention[1].kind, &kTfAttention);
  EXPECT_EQ(first.attention[1].shape, TreeShape::Kary({100}));
  const ModelConfig last = plan.ModelOfStage(plan.stages().back());
  EXPECT_EQ(last.attention[0].shape, TreeShape::Kary({100, 10}));
}

TEST(BootstrapPlan, IsOneStageOfFullAttentionWithoutTrees) {
  BootstrapConfig bootstrap;
  bootstrap.full_steps = 9;
  const BootstrapPlan plan(Model(2), bootstrap);
  ASSERT_EQ(plan.stages().size(), 1u);
  EXPECT_EQ(Describe(plan.stages()[0]), "stage 0: full attention, steps 0-9");
}

TEST(BootstrapPlan, LayersWithoutTreesHaveTheAttentionOfTheModel) {
  ModelConfig model = Model(3);
  model.attention[0].kind = &kTfAttention;
  model.attention[0].shape = TreeShape::Binary(4);
  BootstrapConfig bootstrap = Bootstrap(1, 2, 30);
  bootstrap.full_steps = 5;
  bootstrap.tree_layers = 2;
  const BootstrapPlan plan(model, bootstrap);
  EXPECT_EQ(Describe(plan.stages()[0]), "stage 0: TF + full attention, steps 0-5");
  const ModelConfig last = plan.ModelOfStage(plan.stages().back());
  EXPECT_EQ(last.attention[0].shape, TreeShape::Binary(4));
  EXPECT_EQ(last.attention[1].shape, TreeShape::Binary(1));
}

TEST(BootstrapPlan, DoesNotGrowTreesWhereTheModelHasItsOwn) {
  ModelConfig model = Model(3);
  model.attention[1].kind = &kTfAttention;
  model.attention[1].shape = TreeShape::Binary(4);
  EXPECT_THROW(BootstrapPlan(model, Bootstrap(1, 2, 30)), UserError);
  BootstrapConfig last_layer = Bootstrap(1, 2, 30);
  last_layer.tree_layers = 1;
  EXPECT_EQ(BootstrapPlan(model, last_layer).stages().size(), 1u);
}

TEST(BootstrapPlan, RefusesWhatMakesNoSense) {
  BootstrapConfig bootstrap = Bootstrap(2, 1, 10);
  bootstrap.start_height = 2;
  EXPECT_THROW(BootstrapPlan(Model(2), bootstrap), UserError);
  bootstrap = Bootstrap(2, 0, 10);
  EXPECT_THROW(BootstrapPlan(Model(2), bootstrap), UserError);
  bootstrap = Bootstrap(2, 1, 10);
  bootstrap.tree_layers = 3;
  EXPECT_THROW(BootstrapPlan(Model(2), bootstrap), UserError);
  EXPECT_THROW(BootstrapPlan(Model(2), BootstrapConfig()), UserError);
}

}  // namespace

}  // namespace treeformer
