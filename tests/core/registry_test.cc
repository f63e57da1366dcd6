#include "core/attention/registry.h"

#include <gtest/gtest.h>

#include "core/attention/attention.pb.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

TEST(AttentionRegistry, HasARowForEveryKindOfTheConfiguration) {
  const auto& kinds = *config::Attention::Kind_descriptor();
  ASSERT_EQ(kinds.value_count(), std::ssize(AttentionKinds()));
  for (const AttentionKind* kind : AttentionKinds()) {
    EXPECT_NE(kinds.FindValueByName(kind->name), nullptr) << kind->name;
  }
}

// A configuration of every kind, and of every form that has parameters of its own.
std::vector<AttentionConfig> OneOfEach() {
  std::vector<AttentionConfig> attentions = {
      FullAttention(), TreeAttention(&kTfAttention, TreeShape::Binary(3), TreeGradient::kFlip),
      TreeAttention(&kTfAttention, TreeShape::Kary({3, 2}), TreeGradient::kFlip),
      TreeAttention(&kTcAttention, TreeShape::Binary(2), TreeGradient::kDense)};
  attentions.push_back(attentions.back());
  attentions.back().tree.fold_projections = true;
  return attentions;
}

TEST(AttentionRegistry, CostCountsTheParametersThatAreDeclared) {
  for (const AttentionConfig& attention : OneOfEach()) {
    const ModelConfig config = SmallConfig({attention});
    const LayerBench<Attention> bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat64,
                                      [](const LayerBuilder& builder) {
                                        return MakeAttention(builder, /*layer=*/0, "attention");
                                      });
    EXPECT_EQ(CostOfAttention(config, 0, 12).parameters, bench.parameters.CountScalars())
        << attention.kind->name;
  }
}

TEST(AttentionRegistry, DensityIsTheMeasuredOneOfTreesThatHavePairs) {
  const ModelConfig config = SmallConfig(OneOfEach());
  EXPECT_EQ(CostOfAttention(config, 0, 12, 0.3).density, 1);
  EXPECT_EQ(CostOfAttention(config, 1, 12, 0.3).density, 0.3);
  EXPECT_EQ(CostOfAttention(config, 1, 12).density, 1.0 / 8);
  EXPECT_TRUE(std::isnan(CostOfAttention(config, 3, 12, 0.3).density));
}

// FLIP: four products of pairs in a training step; DENSE of TF: two of all pairs, every k-th step.
TEST(AttentionRegistry, TrainingIsTheForwardPassThreeAndAHalfTimesAndTheRouter) {
  ModelConfig config =
      SmallConfig({TreeAttention(&kTfAttention, TreeShape::Binary(3), TreeGradient::kFlip)});
  const double n = 40, d = 16, forward = 4 * n * d * 3 + 4 * n * n * d / 8;
  EXPECT_EQ(CostOfAttention(config, 0, n).Training(), 3.5 * forward + 8 * n * n * d / 8);
  config.attention[0].tree.gradient = TreeGradient::kDense;
  config.attention[0].tree.router_interval = 4;
  EXPECT_EQ(CostOfAttention(config, 0, n).Training(), 3.5 * forward + 4 * n * n * d / 4);
  config.attention[0].tree.gradient = TreeGradient::kNone;
  EXPECT_EQ(CostOfAttention(config, 0, n).Training(), 3.5 * forward);
}

}  // namespace

}  // namespace treeformer
