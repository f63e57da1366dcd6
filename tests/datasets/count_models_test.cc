#include "datasets/count_models.h"

#include <gtest/gtest.h>

#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {
namespace {

constexpr int32_t a = kFirstWord, b = a + 1, c = a + 2, d = a + 3;

class CountModelsTest : public testing::Test {
 protected:
  CountModels Count(const Documents& documents) {
    const std::string path = WriteTokenFile(folder_.File("t"), vocabulary_, documents);
    return CountModels(TokenFile::Open(path), vocabulary_);
  }

  TemporaryFolder folder_;
  const Vocabulary vocabulary_ = MakeVocabulary(4);  // V = 9
};

TEST_F(CountModelsTest, FrequenciesAreCountsPlusOne) {
  const CountModels models = Count({{a, b, a}, {a, c}});
  EXPECT_DOUBLE_EQ(models.FromFrequencies(a).probability, 4.0 / 14);
  EXPECT_DOUBLE_EQ(models.FromFrequencies(d).probability, 1.0 / 14);
  EXPECT_EQ(models.FromFrequencies(d).best, a);
}

// By hand: "a b c" twice and "a d c" once; the word between a and c.
TEST_F(CountModelsTest, NeighboursBackOffFromBothToOneToFrequencies) {
  const CountModels models = Count({{a, b, c}, {a, b, c}, {a, d, c}});
  const double u = (2 + 1) / 18.0, one = (2 + 4 * u) / (3 + 4), both = (2 + 4 * one) / (3 + 4);
  const Prediction between = models.FromNeighbours(a, c, b);
  EXPECT_DOUBLE_EQ(between.probability, both);
  EXPECT_EQ(between.best, b);
  EXPECT_DOUBLE_EQ(models.FromNeighbours(a, vocabulary_.mask(), b).probability, one);
  EXPECT_DOUBLE_EQ(models.FromNeighbours(vocabulary_.mask(), c, b).probability, one);
  EXPECT_DOUBLE_EQ(models.FromNeighbours(vocabulary_.mask(), vocabulary_.mask(), b).probability, u);
  // [CLS] and c were never seen around one word: the mean of what each says alone.
  const double after_cls = (0 + 4 * u) / (3 + 4), before_c = one;
  EXPECT_DOUBLE_EQ(models.FromNeighbours(vocabulary_.cls(), c, b).probability,
                   (after_cls + before_c) / 2);
}

TEST_F(CountModelsTest, ProbabilitiesSumToOneAndTheBestIsTheLargest) {
  const CountModels models = Count({{a, b, c, d, a, a, c}, {d, c, b, b}, {c}});
  for (int32_t left = 0; left < vocabulary_.size(); ++left) {
    for (int32_t right = 0; right < vocabulary_.size(); ++right) {
      double sum = 0, largest = 0, of_best = 0;
      for (int32_t token = 0; token < vocabulary_.size(); ++token) {
        const Prediction prediction = models.FromNeighbours(left, right, token);
        sum += prediction.probability;
        largest = std::max(largest, prediction.probability);
        if (prediction.best == token) of_best = prediction.probability;
      }
      EXPECT_NEAR(sum, 1, 1e-12) << left << " " << right;
      EXPECT_EQ(of_best, largest) << left << " " << right;
    }
  }
}

}  // namespace
}  // namespace treeformer::datasets
