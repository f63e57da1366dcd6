#include "datasets/memory_dataset.h"

#include <algorithm>
#include <map>

#include "datasets/evaluation_loader.h"
#include "datasets/shuffled_loader.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

constexpr int32_t kPad = 9;

// Example i has the length lengths[i], tokens 100 i, 100 i + 1, ... and the label i.
MemoryDataset Examples(const std::vector<int>& lengths) {
  std::vector<LabelledExample> examples;
  for (const int length : lengths) {
    const auto label = static_cast<int32_t>(examples.size());
    examples.push_back({{}, label});
    for (int i = 0; i < length; ++i) examples.back().tokens.push_back(100 * label + i);
  }
  return MemoryDataset(std::move(examples), kPad, /*longest=*/50);
}

const std::vector<int> kLengths = {7, 3, 12, 3, 50, 1, 8};

// What a batch tells of each example: tokens, without padding, by label.
void Collect(const Batch& batch, std::map<int32_t, std::vector<std::vector<int32_t>>>* found) {
  for (int64_t row = 0; row < batch.sequences; ++row) {
    const auto tokens = batch.tokens.begin() + row * batch.length;
    const auto document = batch.document.begin() + row * batch.length;
    const int64_t used = std::count(document, document + batch.length, 0);
    EXPECT_TRUE(std::all_of(tokens + used, tokens + batch.length, [](int t) { return t == kPad; }));
    EXPECT_EQ(batch.target_token[row] == kNoTarget, used == 0);
    if (used == 0) continue;
    EXPECT_EQ(batch.target_position[row], row * batch.length);
    EXPECT_EQ(batch.positions[row * batch.length + used - 1], used - 1);
    (*found)[batch.target_token[row]].push_back({tokens, tokens + used});
  }
}

TEST(MemoryDataset, EvaluationOverRanksSeesEveryExampleOnceWithItsLabel) {
  const MemoryDataset examples = Examples(kLengths);
  for (const int ranks : {1, 2, 4}) {
    std::map<int32_t, std::vector<std::vector<int32_t>>> found;
    for (int rank = 0; rank < ranks; ++rank) {
      const EvaluationLoader loader(examples, {4, rank, ranks, 4 / ranks}, /*seed=*/1);
      EXPECT_EQ(loader.samples(), 7);
      for (int64_t step = 0; step < loader.steps(); ++step) {
        for (int micro = 0; micro < loader.micro_batches(); ++micro) {
          Collect(loader.Get(step, micro), &found);
        }
      }
    }
    ASSERT_EQ(found.size(), kLengths.size()) << ranks;
    for (const auto& [label, times] : found) {
      ASSERT_EQ(times.size(), 1u) << "example " << label;
      EXPECT_EQ(std::ssize(times[0]), kLengths[label]);
      EXPECT_EQ(times[0].front(), 100 * label);
      EXPECT_EQ(times[0].back(), 100 * label + kLengths[label] - 1);
    }
  }
}

TEST(MemoryDataset, BatchesAreSortedByLengthAndAsLongAsTheirLongest) {
  const MemoryDataset examples = Examples(kLengths);
  const EvaluationLoader loader(examples, {.batch_size = 3}, /*seed=*/1);
  std::vector<int64_t> lengths, order;
  for (int64_t step = 0; step < loader.steps(); ++step) {
    lengths.push_back(loader.Get(step, 0).length);
  }
  for (int64_t i = 0; i < examples.samples(); ++i) order.push_back(examples.ExampleOf(i));
  EXPECT_EQ(lengths, (std::vector<int64_t>{3, 12, 50}));
  EXPECT_EQ(order, (std::vector<int64_t>{5, 1, 3, 0, 6, 2, 4}));
}

TEST(MemoryDataset, AnEmptyMicroBatchHasALength) {
  const MemoryDataset examples = Examples({7});
  const EvaluationLoader loader(examples, {8, 1, 2, 1}, /*seed=*/1);  // the second rank's part
  const Batch batch = loader.Get(0, 0);
  EXPECT_EQ(batch.sequences, 4);
  EXPECT_EQ(batch.length, 1);
  EXPECT_EQ(batch.CountTokens(), 0);
  EXPECT_EQ(batch.CountTargets(), 0);
}

TEST(MemoryDataset, IsTrainedOnInEpochsLikeText) {
  const MemoryDataset examples = Examples(kLengths);
  ShuffledLoader loader(examples, {.batch_size = 2}, /*seed=*/1);
  std::map<int32_t, std::vector<std::vector<int32_t>>> found;
  for (int step = 0; step < 7; ++step, loader.NextStep()) Collect(loader.Get(0), &found);
  ASSERT_EQ(found.size(), kLengths.size());  // two epochs
  for (const auto& [label, times] : found) EXPECT_EQ(times.size(), 2u) << "example " << label;
}

TEST(MemoryDataset, RefusesExamplesWithoutTokensTooLongOnesAndNegativeLabels) {
  EXPECT_REFUSED(Examples({}), "there is no example");
  EXPECT_REFUSED(Examples({3, 0}), "example 1 has 0 tokens, expected 1 to 50");
  EXPECT_REFUSED(Examples({51}), "example 0 has 51 tokens, expected 1 to 50");
  EXPECT_REFUSED(MemoryDataset({{{1}, -2}}, kPad, 50), "example 0 has the label -2");
}

}  // namespace
}  // namespace treeformer::datasets
