#include "datasets/token_dataset.h"

#include <algorithm>
#include <cmath>

#include "datasets/shuffled_loader.h"
#include "tests/datasets/token_batches.h"

namespace treeformer::datasets {
namespace {

using TokenDatasetTest = TokenBatchesTest;

TEST_F(TokenDatasetTest, TargetsFillAConstantCapacity) {
  config_.length = 2 * kLength;  // some samples are padded
  const TokenDataset text = Open();
  ShuffledLoader loader(text, {kBatch, 0, 1, 2}, kSeed);
  for (int step = 0; step < 4; ++step, loader.NextStep()) {
    const Batch batch = loader.Get(step % 2);
    EXPECT_EQ(std::ssize(batch.target_token), kBatch / 2 * 5);  // round(0.3 * 18)
    EXPECT_EQ(batch.target_token.size(), batch.target_position.size());
    int64_t expected = 0;
    for (int64_t row = 0; row < batch.sequences; ++row) {
      const auto begin = batch.document.begin() + row * batch.length;
      const int64_t ordinary = std::count(begin, begin + batch.length, 0) - 2;
      expected += std::lround(0.3 * ordinary);
    }
    EXPECT_EQ(batch.CountTargets(), expected);
  }
}

TEST_F(TokenDatasetTest, SeveralFilesAreReadLikeOneThatHoldsThemAll) {
  const Documents all = DistinctTokens({8, 24, 3, 30, 16, 1, 50});
  const auto write = [&](const std::string& name, int begin, int end) {
    return WriteTokenFile(folder_.File(name), vocabulary_,
                          {all.begin() + begin, all.begin() + end});
  };
  const std::string one = write("one", 0, 7);
  const std::vector<std::string> parts{write("a", 0, 3), write("b", 3, 3), write("c", 3, 4),
                                       write("d", 4, 7)};
  for (const bool pack : {false, true}) {
    config_.pack = pack;
    const TokenDataset whole(one, vocabulary_, config_), joined(parts, vocabulary_, config_);
    ASSERT_EQ(joined.samples(), whole.samples());
    for (int64_t sample = 0; sample < whole.samples(); ++sample) {
      const std::vector<SampleKey> keys{{kSeed, /*epoch=*/2, sample}};
      EXPECT_TRUE(SameBatch(MakeBatch(joined, keys, 1), MakeBatch(whole, keys, 1))) << sample;
    }
  }
}

TEST_F(TokenDatasetTest, RefusesWhatCannotBeLoaded) {
  const Vocabulary other = MakeVocabulary(401);
  EXPECT_REFUSED(TokenDataset(folder_.File("tokens"), other, config_), "another vocabulary");
  TokenFileWriter(folder_.File("larger"), vocabulary_.hash(), vocabulary_.size() + 1).Finish();
  EXPECT_REFUSED(Open("larger"), "its header says a vocabulary of");
  WriteTokenFile(folder_.File("empty"), vocabulary_, {});
  EXPECT_REFUSED(Open("empty"), "holds no document");
}

}  // namespace
}  // namespace treeformer::datasets
