#include "datasets/token_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {
namespace {

constexpr int64_t kBatch = 12, kLength = 10, kSamples = 25;
constexpr uint64_t kSeed = 42;

// The tokens of each sequence as they were before masking.
std::vector<std::vector<int32_t>> Originals(const Batch& batch) {
  std::vector<int32_t> tokens = batch.tokens;
  for (size_t i = 0; i < batch.target_token.size(); ++i) {
    if (batch.target_token[i] == kNoTarget) continue;
    tokens[batch.target_position[i]] = batch.target_token[i];
  }
  std::vector<std::vector<int32_t>> rows;
  for (int64_t row = 0; row < batch.sequences; ++row) {
    const auto begin = tokens.begin() + row * batch.length;
    rows.emplace_back(begin, begin + batch.length);
  }
  return rows;
}

// Sample i of the corpus has token kFirstWord + i * (kLength - 2) behind [CLS].
int64_t SampleOf(const std::vector<int32_t>& row) {
  return row[1] == 0 ? -1 : (row[1] - kFirstWord) / (kLength - 2);
}

bool SameBatch(const Batch& a, const Batch& b) {
  return a.sequences == b.sequences && a.length == b.length && a.first_sample == b.first_sample &&
         a.tokens == b.tokens && a.positions == b.positions && a.types == b.types &&
         a.document == b.document && a.target_position == b.target_position &&
         a.target_token == b.target_token;
}

void AppendBatch(const Batch& part, Batch* whole) {
  const auto append = [](const std::vector<int32_t>& from, int64_t add, std::vector<int32_t>* to) {
    for (const int32_t x : from) to->push_back(x + add);
  };
  const int64_t tokens_before = whole->tokens.size();
  EXPECT_EQ(part.first_sample, whole->sequences);
  for (size_t i = 0; i < part.target_token.size(); ++i) {
    const bool used = part.target_token[i] != kNoTarget;
    whole->target_position.push_back(used ? part.target_position[i] + tokens_before : 0);
    EXPECT_TRUE(used || part.target_position[i] == 0);
  }
  append(part.tokens, 0, &whole->tokens);
  append(part.positions, 0, &whole->positions);
  append(part.types, 0, &whole->types);
  append(part.document, 0, &whole->document);
  append(part.target_token, 0, &whole->target_token);
  whole->sequences += part.sequences;
  whole->length = part.length;
}

class TokenLoaderTest : public testing::Test {
 protected:
  TokenLoaderTest() {
    // Samples of kLength - 2 tokens: documents of one, two and three of them.
    std::vector<int> lengths;
    for (const int samples : {1, 3, 2, 1, 1, 3, 3, 2, 1, 2, 3, 3}) {
      lengths.push_back(samples * (kLength - 2));
    }
    WriteTokenFile(folder_.File("tokens"), vocabulary_, DistinctTokens(lengths));
    config_.length = kLength;
    config_.masking.rate = 0.3;
  }
  TokenLoader Make(const BatchLayout& layout, SampleOrder order = SampleOrder::kShuffled,
                   uint64_t seed = kSeed) const {
    return TokenLoader(folder_.File("tokens"), vocabulary_, config_, layout, order, seed);
  }

  TemporaryFolder folder_;
  const Vocabulary vocabulary_ = MakeVocabulary(400);
  SequenceConfig config_;
};

TEST_F(TokenLoaderTest, TheGlobalBatchIsTheSameForAllRanksAndMicroBatches) {
  for (const SampleOrder order : {SampleOrder::kShuffled, SampleOrder::kInOrder}) {
    TokenLoader whole = Make({.batch_size = kBatch}, order);
    for (int step = 0; step < 5; ++step, whole.NextStep()) {
      const Batch expected = whole.Get(0);
      for (const int ranks : {1, 2, 3, 4}) {
        for (const int micro_batches : {1, 2, 3}) {
          if (kBatch % (ranks * micro_batches) != 0) continue;
          Batch joined;
          for (int rank = 0; rank < ranks; ++rank) {
            TokenLoader loader = Make({kBatch, rank, ranks, micro_batches}, order);
            for (int i = 0; i < step; ++i) loader.NextStep();
            for (int m = 0; m < micro_batches; ++m) AppendBatch(loader.Get(m), &joined);
          }
          EXPECT_TRUE(SameBatch(joined, expected)) << ranks << " x " << micro_batches;
        }
      }
    }
  }
}

TEST_F(TokenLoaderTest, EveryEpochHasEverySampleOnceInItsOwnOrderWithItsOwnMasks) {
  TokenLoader loader = Make({.batch_size = kBatch});
  ASSERT_EQ(loader.samples(), kSamples);
  std::vector<int64_t> stream;
  std::vector<std::vector<int32_t>> masked(kSamples);  // of the epoch before
  for (int step = 0; step < 25; ++step) {              // 12 epochs
    const Batch batch = loader.Get(0);
    const auto rows = Originals(batch);
    for (int64_t row = 0; row < kBatch; ++row) {
      stream.push_back(SampleOf(rows[row]));
      const auto begin = batch.tokens.begin() + row * kLength;
      std::vector<int32_t> now(begin, begin + kLength);
      EXPECT_EQ(batch.document[row * kLength + kLength - 1], 0);
      masked[stream.back()].insert(masked[stream.back()].end(), now.begin(), now.end());
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

TEST_F(TokenLoaderTest, ABatchLargerThanTheCorpusSpansSeveralEpochs) {
  TokenLoader loader = Make({.batch_size = 4 * kSamples});
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

TEST_F(TokenLoaderTest, RestoredInTheMiddleItGivesWhatTheUndisturbedOneGives) {
  const BatchLayout layout{kBatch, 1, 2, 3};
  TokenLoader undisturbed = Make(layout);
  for (int i = 0; i < 7; ++i) undisturbed.NextStep();
  TokenLoader restored = Make(layout, SampleOrder::kShuffled, /*seed=*/7);
  restored.Restore(undisturbed.state());
  for (int step = 0; step < 6; ++step) {
    for (int micro = 0; micro < 3; ++micro) {
      EXPECT_TRUE(SameBatch(restored.Get(micro), undisturbed.Get(micro)));
    }
    undisturbed.NextStep();
    restored.NextStep();
  }
}

TEST_F(TokenLoaderTest, AnotherSeedGivesAnotherOrder) {
  const auto a = Originals(Make({.batch_size = kSamples}).Get(0));
  const auto b = Originals(Make({.batch_size = kSamples}, SampleOrder::kShuffled, 43).Get(0));
  EXPECT_NE(a, b);
}

TEST_F(TokenLoaderTest, TargetsFillAConstantCapacity) {
  config_.length = 2 * kLength;  // some samples are padded
  TokenLoader loader = Make({kBatch, 0, 1, 2});
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

TEST_F(TokenLoaderTest, EvaluationSeesEverySampleOnceInOrderWithFixedMasks) {
  TokenLoader loader = Make({.batch_size = kBatch}, SampleOrder::kInOrder);
  ASSERT_EQ(loader.steps(), 3);
  std::vector<Batch> first;
  for (const int pass : {0, 1}) {
    loader.Restore({.seed = kSeed});
    for (int64_t step = 0; step < loader.steps(); ++step, loader.NextStep()) {
      const Batch batch = loader.Get(0);
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

TEST_F(TokenLoaderTest, SeveralFilesAreReadLikeOneThatHoldsThemAll) {
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
    const BatchLayout layout{.batch_size = kBatch};
    TokenLoader whole(one, vocabulary_, config_, layout, SampleOrder::kShuffled, kSeed);
    TokenLoader joined(parts, vocabulary_, config_, layout, SampleOrder::kShuffled, kSeed);
    ASSERT_EQ(joined.samples(), whole.samples());
    for (int step = 0; step < 5; ++step, whole.NextStep(), joined.NextStep()) {
      EXPECT_TRUE(SameBatch(joined.Get(0), whole.Get(0)));
    }
  }
}

TEST_F(TokenLoaderTest, RefusesWhatCannotBeLoaded) {
  const BatchLayout layout{.batch_size = kBatch};
  EXPECT_REFUSED(Make({kBatch, 0, 5, 1}), "training.batch_size is 12");
  EXPECT_REFUSED(Make({kBatch, 0, 2, 4}), "training.micro_batches, 4");
  const Vocabulary other = MakeVocabulary(401);
  EXPECT_REFUSED(
      TokenLoader(folder_.File("tokens"), other, config_, layout, SampleOrder::kInOrder, kSeed),
      "another vocabulary");
  TokenFileWriter(folder_.File("larger"), vocabulary_.hash(), vocabulary_.size() + 1).Finish();
  EXPECT_REFUSED(TokenLoader(folder_.File("larger"), vocabulary_, config_, layout,
                             SampleOrder::kInOrder, kSeed),
                 "its header says a vocabulary of");
  WriteTokenFile(folder_.File("empty"), vocabulary_, {});
  EXPECT_REFUSED(TokenLoader(folder_.File("empty"), vocabulary_, config_, layout,
                             SampleOrder::kInOrder, kSeed),
                 "holds no document");
}

}  // namespace
}  // namespace treeformer::datasets
