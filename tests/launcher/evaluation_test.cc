#include "launcher/training/evaluation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "dist/local_communicator.h"
#include "launcher/training/layer_metrics.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using testing_util::SmallBatch;

constexpr int64_t kLength = 12;

ModelConfig Config() {
  return testing_util::SmallConfig(
      {testing_util::FullAttention(),
       testing_util::TreeAttention(&kTfAttention, TreeShape::Binary(2), TreeGradient::kFlip),
       testing_util::TreeAttention(&kTcAttention, TreeShape::Binary(2), TreeGradient::kDense)});
}

datasets::Batch Text() { return SmallBatch(/*sequences=*/2, kLength, Config().vocabulary); }

datasets::Batch Padding() {
  datasets::Batch batch;
  batch.Resize(2, kLength, Text().target_token.size());
  return batch;
}

// Samples of all ranks, of which this rank has its own: the sequences of `batches`, two in each.
class OwnBatches : public datasets::Dataset {
 public:
  OwnBatches(const std::vector<datasets::Batch>& batches, const datasets::BatchLayout& layout)
      : batches_(batches), layout_(layout) {}
  int64_t samples() const override { return layout_.batch_size; }
  int32_t pad() const override { return 0; }
  int64_t BatchLength(std::span<const datasets::SampleKey>) const override { return kLength; }
  int64_t TargetsOf(int64_t) const override { return 4; }
  void Write(const datasets::SampleKey& key, int64_t row, datasets::Batch* batch) const override {
    const int64_t own = key.sample - layout_.FirstSample(0);
    const datasets::Batch& from = batches_.at(own / 2);
    ASSERT_EQ(own % 2, row);
    const auto copy = [&](const std::vector<int32_t>& x, int64_t columns, std::vector<int32_t>& y) {
      std::copy_n(x.begin() + row * columns, columns, y.begin() + row * columns);
    };
    copy(from.tokens, kLength, batch->tokens);
    copy(from.positions, kLength, batch->positions);
    copy(from.types, kLength, batch->types);
    copy(from.document, kLength, batch->document);
    copy(from.target_position, 4, batch->target_position);
    copy(from.target_token, 4, batch->target_token);
  }

 private:
  const std::vector<datasets::Batch>& batches_;
  const datasets::BatchLayout layout_;
};

Evaluation Evaluated(dist::Communicator& communicator,
                     const std::vector<datasets::Batch>& batches) {
  Context ctx = Context::Cpu();
  ModelStage model(ctx, Config(), ShapeOf(batches[0]), DType::kFloat32);
  model.parameters().Initialize(ctx, /*seed=*/5);
  const int micro_batches = static_cast<int>(batches.size());
  const datasets::BatchLayout layout{int64_t{2} * communicator.size() * micro_batches,
                                     communicator.rank(), communicator.size(), micro_batches};
  const OwnBatches held_out(batches, layout);
  return Evaluate(ctx, communicator, model, {held_out, layout, /*seed=*/1});
}

void ExpectSame(const Evaluation& found, const Evaluation& expected) {
  EXPECT_EQ(found.loss.targets, expected.loss.targets);
  EXPECT_DOUBLE_EQ(found.loss.MeanLoss(), expected.loss.MeanLoss());
  EXPECT_EQ(found.trees.empty_queries, expected.trees.empty_queries);
  for (int layer : {0, 1})
    EXPECT_EQ(found.trees.density[layer], expected.trees.density[layer]) << layer;
}

TEST(Evaluation, EmptyMicroBatchesAndRanksChangeNothing) {
  const auto single = dist::MakeSingleRank();
  const Evaluation expected = Evaluated(*single, {Text()});
  EXPECT_EQ(expected.trees.density[0], 1);
  EXPECT_LT(expected.trees.density[1], 0.9);
  EXPECT_GT(expected.trees.empty_queries[1], 0);
  ExpectSame(Evaluated(*single, {Text(), Padding(), Padding()}), expected);
  dist::RunLocalRanks(3, [&](dist::Communicator& communicator) {
    const bool first = communicator.rank() == 0;
    ExpectSame(Evaluated(communicator, {first ? Text() : Padding()}), expected);
  });
}

TEST(Evaluation, TcHasNoDensityButACost) {
  const TreeShares trees = Evaluated(*dist::MakeSingleRank(), {Text()}).trees;
  EXPECT_TRUE(std::isnan(trees.density[2]));
  EXPECT_EQ(trees.operations[0], 1);
  const auto flops = [](int64_t layer, std::optional<double> density) {
    return CostOfAttention(Config(), layer, kLength, density).Forward();
  };
  EXPECT_EQ(trees.operations[1], flops(1, trees.density[1]) / flops(0, {}));
  EXPECT_EQ(trees.operations[2], flops(2, {}) / flops(0, {}));
}

TEST(Evaluation, OfNothingItHasNoShares) {
  const TreeShares trees = Evaluated(*dist::MakeSingleRank(), {Padding()}).trees;
  EXPECT_TRUE(std::isnan(trees.density[1]));
  EXPECT_TRUE(std::isnan(trees.empty_queries[1]));
}

// As the trainer does, rank by rank and micro-batch by micro-batch.
LayerMetrics Measured(dist::Communicator& communicator,
                      const std::vector<datasets::Batch>& batches) {
  Context ctx = Context::Cpu();
  ModelStage model(ctx, Config(), ShapeOf(batches[0]), DType::kFloat32);
  model.parameters().Initialize(ctx, /*seed=*/5);
  LayerStatistics statistics;
  for (const datasets::Batch& batch : batches) {
    model.Forward(ctx, batch, {.seed = 0, .step = 0, .training = false});
    statistics.Add(ctx, model);
  }
  return statistics.Take(ctx, communicator, model, kLength, /*targets=*/1);
}

TEST(LayerStatistics, CountAllMicroBatchesOfAllRanks) {
  const auto single = dist::MakeSingleRank();
  const LayerMetrics one = Measured(*single, {Text()});
  const LayerMetrics all = Measured(*single, {Text(), Padding()});
  EXPECT_EQ(all.trees.density[1], Evaluated(*single, {Text()}).trees.density[1]);
  EXPECT_LT(all.trees.density[1], 0.9);
  EXPECT_EQ(all.layers["layer_02"], one.layers["layer_02"]);
  const std::vector<double>& keys = all.keys_per_leaf[0].second;
  EXPECT_DOUBLE_EQ(
      2 * std::accumulate(keys.begin(), keys.end(), 0.0),  // half are padding
      std::accumulate(one.keys_per_leaf[0].second.begin(), one.keys_per_leaf[0].second.end(), 0.0));
  dist::RunLocalRanks(2, [&](dist::Communicator& communicator) {
    const LayerMetrics part =
        Measured(communicator, {communicator.rank() == 0 ? Padding() : Text()});
    EXPECT_EQ(part.layers, all.layers);
    EXPECT_EQ(part.keys_per_leaf, all.keys_per_leaf);
  });
}

TEST(Evaluation, WithoutAMaskedTokenThereIsNoLoss) {
  const Evaluation evaluation = Evaluated(*dist::MakeSingleRank(), {Padding()});
  EXPECT_EQ(evaluation.loss.targets, 0);
  EXPECT_TRUE(std::isnan(evaluation.loss.MeanLoss()));
  EXPECT_TRUE(std::isnan(evaluation.Perplexity()));
}

}  // namespace

}  // namespace treeformer
