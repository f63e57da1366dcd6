#include "launcher/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "dist/local_communicator.h"
#include "tests/core/small_model.h"

namespace {

using testing_util::SmallBatch;

constexpr int64_t kLength = 12;

ModelConfig Config() {
  return testing_util::SmallConfig(
      {testing_util::FullAttention(),
       testing_util::TreeAttention(AttentionKind::kTf, TreeShape::Binary(2), TreeGradient::kFlip),
       testing_util::TreeAttention(AttentionKind::kTc, TreeShape::Binary(2),
                                   TreeGradient::kDense)});
}

// A rank's micro-batches of one step.
class OneStep : public datasets::Loader {
 public:
  explicit OneStep(std::vector<datasets::Batch> batches) : batches_(std::move(batches)) {}
  datasets::Batch Get(int micro) override { return batches_.at(micro); }
  void NextStep() override {}
  datasets::LoaderState state() const override { return {}; }
  void Restore(const datasets::LoaderState&) override {}

 private:
  const std::vector<datasets::Batch> batches_;
};

datasets::Batch Text() { return SmallBatch(/*sequences=*/2, kLength, Config().vocabulary); }

datasets::Batch Padding() {
  datasets::Batch batch;
  batch.Resize(2, kLength, Text().target_token.size());
  return batch;
}

Evaluation Evaluated(dist::Communicator& communicator,
                     const std::vector<datasets::Batch>& batches) {
  Context ctx = Context::Cpu();
  MaskedLanguageModel model(ctx, Config(), ShapeOf(batches[0]), DType::kFloat32);
  model.parameters().Initialize(ctx, /*seed=*/5);
  OneStep loader(batches);
  return Evaluate(ctx, communicator, model, loader, /*steps=*/1, batches.size());
}

void ExpectSame(const Evaluation& found, const Evaluation& expected) {
  EXPECT_EQ(found.loss.targets, expected.loss.targets);
  EXPECT_DOUBLE_EQ(found.loss.MeanLoss(), expected.loss.MeanLoss());
  EXPECT_EQ(found.empty_queries, expected.empty_queries);
  for (int layer : {0, 1}) EXPECT_EQ(found.density[layer], expected.density[layer]) << layer;
}

TEST(Evaluation, EmptyMicroBatchesAndRanksChangeNothing) {
  const auto single = dist::MakeSingleRank();
  const Evaluation expected = Evaluated(*single, {Text()});
  EXPECT_EQ(expected.density[0], 1);
  EXPECT_LT(expected.density[1], 0.9);
  EXPECT_GT(expected.empty_queries[1], 0);
  ExpectSame(Evaluated(*single, {Text(), Padding(), Padding()}), expected);
  dist::RunLocalRanks(3, [&](dist::Communicator& communicator) {
    const bool first = communicator.rank() == 0;
    ExpectSame(Evaluated(communicator, {first ? Text() : Padding()}), expected);
  });
}

TEST(Evaluation, DensityIsNoCostOfTc) {
  EXPECT_TRUE(std::isnan(Evaluated(*dist::MakeSingleRank(), {Text()}).density[2]));
}

TEST(Evaluation, WithoutAMaskedTokenThereIsNoLoss) {
  const Evaluation evaluation = Evaluated(*dist::MakeSingleRank(), {Padding()});
  EXPECT_EQ(evaluation.loss.targets, 0);
  EXPECT_TRUE(std::isnan(evaluation.loss.MeanLoss()));
  EXPECT_TRUE(std::isnan(evaluation.Perplexity()));
}

}  // namespace
