#include "datasets/evaluation_loader.h"

#include "tests/datasets/token_batches.h"

namespace treeformer::datasets {
namespace {

class EvaluationLoaderTest : public TokenBatchesTest {
 protected:
  const TokenDataset text_ = Open();
};

TEST_F(EvaluationLoaderTest, TheGlobalBatchIsTheSameForAllRanksAndMicroBatches) {
  ExpectSameForAllLayouts(/*steps=*/3, [&](const BatchLayout& layout, int step, int micro) {
    return EvaluationLoader(text_, layout, kSeed).Get(step, micro);
  });
}

TEST_F(EvaluationLoaderTest, SeesEverySampleOnceInOrderWithFixedMasks) {
  const EvaluationLoader loader(text_, {.batch_size = kBatch}, kSeed);
  ASSERT_EQ(loader.steps(), 3);
  EXPECT_EQ(loader.samples(), kSamples);
  std::vector<Batch> first;
  for (const int pass : {0, 1}) {
    for (int64_t step = 0; step < loader.steps(); ++step) {
      const Batch batch = loader.Get(step, 0);
      const auto rows = Originals(batch);
      for (int64_t row = 0; row < kBatch; ++row) {
        const int64_t place = step * kBatch + row;
        EXPECT_EQ(SampleOf(rows[row]), place < kSamples ? place : -1);
      }
      if (pass == 0) first.push_back(batch);
      EXPECT_TRUE(SameBatch(batch, first[step]));
    }
  }
  EXPECT_EQ(first[2].CountTokens(), kLength);  // one sample, eleven empty sequences
  EXPECT_EQ(first[2].CountTargets(), 2);       // round(0.3 * 8)
  EXPECT_EQ(first[2].tokens.back(), vocabulary_.pad());
}

TEST_F(EvaluationLoaderTest, ABoundIsRoundedUpToWholeGlobalBatches) {
  const auto with_bound = [&](int64_t most_samples) {
    return EvaluationLoader(text_, {.batch_size = kBatch}, kSeed, most_samples);
  };
  EXPECT_EQ(with_bound(1).steps(), 1);
  EXPECT_EQ(with_bound(1).samples(), kBatch);
  EXPECT_EQ(with_bound(kBatch + 1).samples(), 2 * kBatch);
  EXPECT_EQ(with_bound(2 * kBatch).steps(), 2);
  EXPECT_EQ(with_bound(1000).samples(), kSamples);
  EXPECT_EQ(with_bound(0).steps(), 3);
}

TEST_F(EvaluationLoaderTest, ABatchBeyondTheLastIsFatal) {
  const EvaluationLoader loader(text_, {.batch_size = kBatch}, kSeed);
  EXPECT_DEATH(loader.Get(3, 0), "3 of 3");
  EXPECT_DEATH(loader.Get(0, 1), "1 of 1");
}

}  // namespace
}  // namespace treeformer::datasets
