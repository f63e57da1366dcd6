#pragma once

// Batches of a corpus in which a token tells where it is (token_corpus.h), and what they hold.

#include <gtest/gtest.h>

#include "datasets/token_dataset.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {

constexpr int64_t kBatch = 12, kLength = 10, kSamples = 25;
constexpr uint64_t kSeed = 42;

// The tokens of each sequence as they were before masking.
inline std::vector<std::vector<int32_t>> Originals(const Batch& batch) {
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
inline int64_t SampleOf(const std::vector<int32_t>& row) {
  return row[1] == 0 ? -1 : (row[1] - kFirstWord) / (kLength - 2);
}

inline bool SameBatch(const Batch& a, const Batch& b) {
  return a.sequences == b.sequences && a.length == b.length && a.first_sample == b.first_sample &&
         a.tokens == b.tokens && a.positions == b.positions && a.types == b.types &&
         a.document == b.document && a.target_position == b.target_position &&
         a.target_token == b.target_token;
}

inline void AppendBatch(const Batch& part, Batch* whole) {
  const auto append = [](const std::vector<int32_t>& from, std::vector<int32_t>* to) {
    to->insert(to->end(), from.begin(), from.end());
  };
  const int64_t tokens_before = std::ssize(whole->tokens);
  EXPECT_EQ(part.first_sample, whole->sequences);
  for (size_t i = 0; i < part.target_token.size(); ++i) {
    const bool used = part.target_token[i] != kNoTarget;
    whole->target_position.push_back(used ? part.target_position[i] + tokens_before : 0);
    EXPECT_TRUE(used || part.target_position[i] == 0);
  }
  append(part.tokens, &whole->tokens);
  append(part.positions, &whole->positions);
  append(part.types, &whole->types);
  append(part.document, &whole->document);
  append(part.target_token, &whole->target_token);
  whole->sequences += part.sequences;
  whole->length = part.length;
}

// That ranks x micro-batches, for every number of either that divides kBatch, join to the global
// batches of one.  `batch(layout, step, micro)` is a micro-batch.
template <typename GetBatch>
void ExpectSameForAllLayouts(int steps, const GetBatch& batch) {
  for (int step = 0; step < steps; ++step) {
    const Batch expected = batch(BatchLayout{.batch_size = kBatch}, step, 0);
    for (const int ranks : {1, 2, 3, 4}) {
      for (const int micro_batches : {1, 2, 3}) {
        if (kBatch % (ranks * micro_batches) != 0) continue;
        Batch joined;
        for (int rank = 0; rank < ranks; ++rank) {
          for (int micro = 0; micro < micro_batches; ++micro) {
            AppendBatch(batch(BatchLayout{kBatch, rank, ranks, micro_batches}, step, micro),
                        &joined);
          }
        }
        EXPECT_TRUE(SameBatch(joined, expected)) << ranks << " x " << micro_batches;
      }
    }
  }
}

// A token file of kSamples samples of kLength - 2 tokens, in documents of one, two and three.
class TokenBatchesTest : public testing::Test {
 protected:
  TokenBatchesTest() {
    std::vector<int> lengths;
    for (const int samples : {1, 3, 2, 1, 1, 3, 3, 2, 1, 2, 3, 3}) {
      lengths.push_back(samples * (kLength - 2));
    }
    WriteTokenFile(folder_.File("tokens"), vocabulary_, DistinctTokens(lengths));
    config_.length = kLength;
    config_.masking.rate = 0.3;
  }
  TokenDataset Open(const std::string& name = "tokens") const {
    return TokenDataset(folder_.File(name), vocabulary_, config_);
  }

  TemporaryFolder folder_;
  const Vocabulary vocabulary_ = MakeVocabulary(400);
  SequenceConfig config_;
};

}  // namespace treeformer::datasets
