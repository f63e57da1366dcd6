#include "core/attention/fold.h"

#include "core/model/model_stage.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

ModelConfig TcConfig(bool folded) {
  AttentionConfig attention =
      TreeAttention(&kTcAttention, TreeShape::Binary(3), TreeGradient::kDense);
  attention.tree.fold_projections = folded;
  ModelConfig config = SmallConfig({FullAttention(), attention, attention});
  return config;
}

TEST(FoldProjections, GivesTheSameModelWithoutProjections) {
  Context ctx = Context::Cpu();
  const ModelConfig config = TcConfig(/*folded=*/false);
  const datasets::Batch batch = SmallBatch(2, 12, config.vocabulary);
  const BatchShape shape{2, 12, 8};
  ModelStage unfolded(ctx, config, shape, DType::kFloat64);
  ModelStage folded(ctx, TcConfig(/*folded=*/true), shape, DType::kFloat64);
  unfolded.parameters().Initialize(ctx, /*seed=*/7);
  const std::string self = "bert.encoder.layer.1.attention.self";
  for (const char* name : {".query.bias", ".key.bias"}) {
    SetValues(unfolded.parameters(), self + name, Random<double>(16, 5));
  }
  SetValues(unfolded.parameters(), self + ".tree.bias", Random<double>(2 * 7, 6));
  FoldProjections(ctx, folded.parameters(), unfolded.parameters());
  EXPECT_EQ(folded.parameters().Find(self + ".query.weight"), nullptr);
  EXPECT_EQ(folded.parameters().Find(self + ".key_tree.weight")->shape, Shape({2, 7, 16}));

  unfolded.Forward(ctx, batch, {.training = false});
  folded.Forward(ctx, batch, {.training = false});
  const double loss = unfolded.ReadSums(ctx).Sum("loss");
  EXPECT_NEAR(folded.ReadSums(ctx).Sum("loss"), loss, 1e-12 * loss);
  for (int64_t layer = 1; layer < 3; ++layer) {
    const TreeStatistics a = unfolded.ReadStatistics(ctx, layer);
    const TreeStatistics b = folded.ReadStatistics(ctx, layer);
    EXPECT_EQ(a.keys_per_leaf, b.keys_per_leaf);
    EXPECT_NEAR(a.mean_strength, b.mean_strength, 1e-6);  // statistics are float32
  }

  // The routing's gradient reaches the layer below alike: W^T (df w) = df (W^T w).
  for (ModelStage* model : {&unfolded, &folded}) {
    model->Forward(ctx, batch, {.seed = 3});
    model->Backward(ctx, {});
  }
  for (const Parameter& parameter : folded.parameters().list()) {
    if (unfolded.parameters().Find(parameter.name) == nullptr) continue;
    const auto expected = Gradient(unfolded.parameters(), parameter.name);
    const auto got = Gradient(folded.parameters(), parameter.name);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 1e-11 * (1 + std::abs(expected[i]))) << parameter.name;
    }
  }
}

TEST(FoldProjectionsDeathTest, AModelWithoutItsCounterpartDies) {
  Context ctx = Context::Cpu();
  ModelConfig full = SmallConfig({FullAttention(), FullAttention(), FullAttention()});
  const BatchShape shape{2, 12, 8};
  ModelStage from(ctx, full, shape, DType::kFloat64);
  ModelStage folded(ctx, TcConfig(/*folded=*/true), shape, DType::kFloat64);
  EXPECT_DEATH(FoldProjections(ctx, folded.parameters(), from.parameters()), "no parameter");
}

}  // namespace

}  // namespace treeformer
