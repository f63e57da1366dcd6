#include "launcher/run/cost.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/attention/registry.h"
#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "core/model/model_stage.h"

namespace treeformer {

namespace {

ModelConfig Model() {
  ModelConfig model;
  model.layers = 4;
  model.width = 32;
  model.heads = 4;
  model.feed_forward = 128;
  model.vocabulary = 100;
  model.max_positions = 64;
  model.attention.resize(4);
  model.attention[1].kind = &kTfAttention;
  model.attention[1].shape = TreeShape::Binary(3);
  model.attention[2].kind = &kTfAttention;
  model.attention[2].shape = TreeShape::Kary({3, 2});
  model.attention[3].kind = &kTcAttention;
  model.attention[3].shape = TreeShape::Binary(2);
  model.attention[3].tree.gradient = TreeGradient::kDense;
  return model;
}

TEST(Cost, ParametersAreThoseTheModelDeclares) {
  Context ctx = Context::Cpu();
  ModelConfig model = Model();
  for (bool folded : {false, true}) {
    model.attention[3].tree.fold_projections = folded;
    for (bool pre_norm : {false, true}) {
      model.pre_norm = pre_norm;
      const ModelStage made(ctx, model, {2, 64, 20}, DType::kFloat32);
      const StagePlan plan = PlanStage(model, {2, 64, 20}, DType::kFloat32);
      EXPECT_EQ(plan.Parameters(), made.parameters().CountScalars());
      EXPECT_EQ(std::ssize(plan.layers), CountLayers(model));
    }
  }
}

TEST(Cost, ActivationsAreThoseTheModelAllocates) {
  Context ctx = Context::Cpu();
  ModelConfig model = Model();
  for (const auto& [width, shape] : {std::pair<int64_t, BatchShape>{128, {4, 64, 40}},
                                     {64, {1, 1024, 150}},
                                     {256, {2, 300, 4}}}) {
    model.width = width;
    model.feed_forward = 4 * width;
    model.max_positions = shape.length;
    const ModelStage made(ctx, model, shape, DType::kFloat32);
    const double allocated = static_cast<double>(made.ActivationBytes());
    EXPECT_EQ(CountMemory(model, shape).activations, allocated) << width;
  }
}

TEST(Cost, OnAGpuActivationsAreShorterAndParametersHaveARoundedCopy) {
  const BatchShape shape{4, 64, 40};
  const MemoryCost cpu = CountMemory(Model(), shape),
                   gpu = CountMemory(Model(), shape, DType::kBFloat16);
  Context ctx = Context::Cpu();
  const ModelStage made(ctx, Model(), shape, DType::kBFloat16);
  EXPECT_EQ(gpu.activations, static_cast<double>(made.ActivationBytes()));
  EXPECT_LT(gpu.activations, 0.6 * cpu.activations);  // ids and statistics are as long
  EXPECT_EQ(gpu.parameters, cpu.parameters * 1.5);
  EXPECT_EQ(gpu.moments, cpu.moments);
}

TEST(Cost, FoldedTcSavesTheProjectionsOfQueriesAndKeys) {
  ModelConfig model = Model();
  const auto projections = [&] {
    return PlanStage(model, {1, 100, 1}, DType::kFloat32).layers.at(1 + 3).cost.projections;
  };
  EXPECT_EQ(projections(), 2.0 * 100 * 4 * 32 * 32);
  model.attention[3].tree.fold_projections = true;
  EXPECT_EQ(projections(), 2.0 * 100 * 2 * 32 * 32);
}

TEST(Cost, ARowOfLogitsIsAMultipleOf64Long) {
  ModelConfig model = Model();
  const BatchShape shape{1, 8, 8};
  const auto activations = [&](int64_t vocabulary) {
    model.vocabulary = vocabulary;
    return CountMemory(model, shape).activations;
  };
  EXPECT_EQ(activations(30522), activations(30528));
  EXPECT_EQ(activations(30529) - activations(30528), 4.0 * 8 * 64);  // targets of float32
}

TEST(Cost, AttentionIsQuadraticInFullAndLinearInTc) {
  const ModelConfig model = Model();
  const auto flops = [&](int64_t layer, double n, double density) {
    return CostOfAttention(model, layer, n, density).Forward();
  };
  EXPECT_EQ(flops(0, 200, 1), 4 * flops(0, 100, 1));
  EXPECT_EQ(flops(0, 100, 1), 4.0 * 100 * 100 * 32);
  // Routing: two sides, 2 e FLOP for each of 3 planes in each of H heads.
  EXPECT_EQ(flops(1, 100, 0.125), 4.0 * 100 * 100 * 32 / 8 + 4.0 * 100 * 32 * 3);
  const double nodes = 2.0 * 32 * 7;
  EXPECT_EQ(flops(3, 200, 0) - nodes, 2 * (flops(3, 100, 0) - nodes));
}

TEST(Cost, IdealDensityIsOneLeafsShare) {
  const ModelConfig model = Model();
  EXPECT_EQ(CostOfAttention(model, 0, 64).density, 1);
  EXPECT_EQ(CostOfAttention(model, 1, 64).density, 1.0 / 8);
  EXPECT_EQ(CostOfAttention(model, 2, 64).density, 1.0 / 6);
  EXPECT_TRUE(std::isnan(CostOfAttention(model, 3, 64).density));
}

TEST(Cost, TrainingIsThreeTimesTheForwardPassOfTheMatrices) {
  ModelConfig model = Model();
  model.attention.assign(4, {});
  const double n = 64, targets = 10, d = 32;
  const double matrices =
      4 * 2 * n * 4 * d * d + 2 * (3 * n + targets) * 2 * d * 128 + 2 * targets * d * (d + 100);
  EXPECT_DOUBLE_EQ(PlanStage(model, {1, 64, 10}, DType::kFloat32, {1, 1, 1, 1}).TrainingFlops(),
                   3 * matrices + 3.5 * 4 * 4 * n * n * d);
}

}  // namespace

}  // namespace treeformer
