#include "kernels/tree/statistics.h"

#include <gtest/gtest.h>

namespace treeformer {

namespace {

// One head, four leaves, documents 0 0 0 0 1 1 and two of padding.
TEST(TreeStatistics, CountsPairsOfOneLeafAndOneDocument) {
  const TreeStatistics s = ComputeTreeStatistics(
      /*query_leaf=*/{0, 0, 1, 2, 0, 3, -1, -1}, /*key_leaf=*/{0, 1, 1, 3, 0, 0, -1, -1},
      /*strength=*/{1, 2, 3, 4, 5, 6, 99, 99}, /*document=*/{0, 0, 0, 0, 1, 1, -1, -1},
      /*batch=*/1, /*heads=*/1, /*length=*/8, /*leaves=*/4);
  // Document 0: leaf 0 holds 2 x 1, leaf 1 holds 1 x 2; document 1: leaf 0 holds 1 x 2.
  EXPECT_DOUBLE_EQ(s.density, 6.0 / (4 * 4 + 2 * 2));
  EXPECT_DOUBLE_EQ(s.square_density, 6.0 / 64);
  EXPECT_DOUBLE_EQ(s.empty_queries, 2.0 / 6);
  EXPECT_DOUBLE_EQ(s.mean_strength, 21.0 / 6);
  EXPECT_EQ(s.leaves, 4);
  EXPECT_EQ(s.keys_per_leaf, (std::vector<double>{3, 2, 0, 1}));
  const double entropy =
      -(3 / 6.0 * std::log(3 / 6.0) + 2 / 6.0 * std::log(2 / 6.0) + 1 / 6.0 * std::log(1 / 6.0));
  EXPECT_DOUBLE_EQ(s.leaf_entropy, entropy);
  EXPECT_DOUBLE_EQ(s.balance(), entropy / std::log(4));
}

TEST(TreeStatistics, BalancedLeavesHaveDensityOneOverL) {
  const std::vector<int32_t> leaf{0, 1, 2, 3, 3, 2, 1, 0}, document(8, 0);
  const TreeStatistics s = ComputeTreeStatistics(leaf, leaf, std::vector<float>(8, 1), document,
                                                 /*batch=*/1, /*heads=*/1, /*length=*/8,
                                                 /*leaves=*/4);
  EXPECT_DOUBLE_EQ(s.density, 0.25);
  EXPECT_DOUBLE_EQ(s.balance(), 1);
  EXPECT_EQ(s.empty_queries, 0);
}

// [B 2, H 2, n 2]: head 0 puts all keys into leaf 0, head 1 one into each.
TEST(TreeStatistics, HeadsAreKeptApartInTheHistogramAndSequencesAveraged) {
  const std::vector<int32_t> leaf{0, 0, 0, 1, 0, 0, 1, 0};
  const TreeStatistics s = ComputeTreeStatistics(leaf, leaf, std::vector<float>(8, 1), {0, 0, 0, 0},
                                                 /*batch=*/2, /*heads=*/2, /*length=*/2,
                                                 /*leaves=*/2);
  EXPECT_EQ(s.keys_per_leaf, (std::vector<double>{2, 0, 1, 1}));
  EXPECT_DOUBLE_EQ(s.density, (4 + 2 + 4 + 2) / 16.0);
  EXPECT_DOUBLE_EQ(s.balance(), 0.5);
}

// The second sequence holds nothing: it counts in no mean but the keys a sequence.
TEST(TreeStatistics, EmptySequencesAndBatchesAreHarmless) {
  const TreeStatistics s = ComputeTreeStatistics({0, 1, -1, -1}, {0, 1, -1, -1}, {1, 1, 9, 9},
                                                 {0, 0, -1, -1}, /*batch=*/2, /*heads=*/1,
                                                 /*length=*/2, /*leaves=*/2);
  EXPECT_DOUBLE_EQ(s.leaf_entropy, std::log(2));
  EXPECT_DOUBLE_EQ(s.mean_strength, 1);
  EXPECT_EQ(s.keys_per_leaf, (std::vector<double>{0.5, 0.5}));
  const TreeStatistics nothing = ComputeTreeStatistics({-1}, {-1}, {9}, {-1}, 1, 1, 1, 1);
  EXPECT_EQ(nothing.mean_strength, 0);
  EXPECT_EQ(nothing.balance(), 1);
}

// An empty micro-batch or rank changes no share; one of other size weighs what it has.
TEST(PairCounts, SharesAreThoseOfTheSums) {
  const PairCounts nothing = ComputeTreeStatistics({-1}, {-1}, {9}, {-1}, 1, 1, 1, 2).counts;
  const PairCounts one = ComputeTreeStatistics({0}, {1}, {1}, {0}, 1, 1, 1, 2).counts;
  const PairCounts two = ComputeTreeStatistics({0, 1}, {0, 0}, {1, 1}, {0, 0}, 1, 1, 2, 2).counts;
  PairCounts sum = nothing;
  EXPECT_TRUE(std::isnan(sum.Density()));
  EXPECT_TRUE(std::isnan(sum.EmptyShare()));
  for (const PairCounts& counts : {two, nothing, one, nothing}) sum += counts;
  EXPECT_DOUBLE_EQ(sum.Density(), 2.0 / 5);     // of 4 + 1 pairs
  EXPECT_DOUBLE_EQ(sum.EmptyShare(), 2.0 / 3);  // one of two, and the only one
}

}  // namespace

}  // namespace treeformer
