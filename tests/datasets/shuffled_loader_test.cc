#include "datasets/shuffled_loader.h"

#include <algorithm>
#include <set>

#include "tests/datasets/token_batches.h"

namespace treeformer::datasets {
namespace {

class ShuffledLoaderTest : public TokenBatchesTest {
 protected:
  ShuffledLoader Make(const BatchLayout& layout, uint64_t seed = kSeed) const {
    return ShuffledLoader(text_, layout, seed);
  }

  const TokenDataset text_ = Open();
};

TEST_F(ShuffledLoaderTest, TheGlobalBatchIsTheSameForAllRanksAndMicroBatches) {
  ExpectSameForAllLayouts(/*steps=*/5, [&](const BatchLayout& layout, int step, int micro) {
    ShuffledLoader loader = Make(layout);
    for (int i = 0; i < step; ++i) loader.NextStep();
    return loader.Get(micro);
  });
}

TEST_F(ShuffledLoaderTest, EveryEpochHasEverySampleOnceInItsOwnOrderWithItsOwnMasks) {
  ShuffledLoader loader = Make({.batch_size = kBatch});
  ASSERT_EQ(text_.samples(), kSamples);
  std::vector<int64_t> stream;
  std::vector<std::vector<int32_t>> masked(kSamples);  // of the epoch before
  for (int step = 0; step < 25; ++step) {              // 12 epochs
    const Batch batch = loader.Get(0);
    const auto rows = Originals(batch);
    for (int64_t row = 0; row < kBatch; ++row) {
      stream.push_back(SampleOf(rows[row]));
      const auto begin = batch.tokens.begin() + row * kLength;
      EXPECT_EQ(batch.document[row * kLength + kLength - 1], 0);
      std::vector<int32_t>& all = masked[stream.back()];
      all.insert(all.end(), begin, begin + kLength);
    }
    loader.NextStep();
    EXPECT_TRUE(0 <= loader.state().next_sample && loader.state().next_sample < kSamples);
    EXPECT_EQ(loader.state().epoch * kSamples + loader.state().next_sample, std::ssize(stream));
    EXPECT_EQ(loader.state().step, step + 1);
  }
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 12; ++epoch) {
    std::vector<int64_t> order(stream.begin() + epoch * kSamples,
                               stream.begin() + (epoch + 1) * kSamples);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < kSamples; ++i) EXPECT_EQ(order[i], i) << "epoch " << epoch;
  }
  EXPECT_EQ(orders.size(), 12u);
  for (const auto& epochs : masked) {
    ASSERT_EQ(std::ssize(epochs), 12 * kLength);
    std::set<std::vector<int32_t>> different;
    for (auto it = epochs.begin(); it != epochs.end(); it += kLength) {
      different.insert({it, it + kLength});
    }
    EXPECT_GT(different.size(), 6u);
  }
}

TEST_F(ShuffledLoaderTest, ABatchLargerThanTheCorpusSpansSeveralEpochs) {
  ShuffledLoader loader = Make({.batch_size = 4 * kSamples});
  const auto rows = Originals(loader.Get(0));
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::set<int64_t> samples;
    for (int64_t i = 0; i < kSamples; ++i) samples.insert(SampleOf(rows[epoch * kSamples + i]));
    EXPECT_EQ(std::ssize(samples), kSamples);
  }
  loader.NextStep();
  EXPECT_EQ(loader.state().epoch, 4);
  EXPECT_EQ(loader.state().next_sample, 0);
}

TEST_F(ShuffledLoaderTest, RestoredInTheMiddleItGivesWhatTheUndisturbedOneGives) {
  const BatchLayout layout{kBatch, 1, 2, 3};
  ShuffledLoader undisturbed = Make(layout);
  for (int i = 0; i < 7; ++i) undisturbed.NextStep();
  ShuffledLoader restored = Make(layout, /*seed=*/7);
  restored.Restore(undisturbed.state());
  for (int step = 0; step < 6; ++step) {
    for (int micro = 0; micro < 3; ++micro) {
      EXPECT_TRUE(SameBatch(restored.Get(micro), undisturbed.Get(micro)));
    }
    undisturbed.NextStep();
    restored.NextStep();
  }
}

TEST_F(ShuffledLoaderTest, AnotherSeedGivesAnotherOrder) {
  const auto a = Originals(Make({.batch_size = kSamples}).Get(0));
  const auto b = Originals(Make({.batch_size = kSamples}, 43).Get(0));
  EXPECT_NE(a, b);
}

TEST_F(ShuffledLoaderTest, RefusesABatchThatRanksCannotShare) {
  EXPECT_REFUSED(Make({kBatch, 0, 5, 1}), "training.batch_size is 12");
  EXPECT_REFUSED(Make({kBatch, 0, 2, 4}), "training.micro_batches, 4");
}

}  // namespace
}  // namespace treeformer::datasets
