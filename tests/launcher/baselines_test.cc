#include "launcher/training/baselines.h"

#include <gtest/gtest.h>

#include <cmath>

#include "datasets/stories.h"
#include "datasets/token_dataset.h"
#include "dist/local_communicator.h"
#include "launcher/run/run_config.h"
#include "launcher/training/run_summary.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer {

namespace {

using namespace datasets;

// "a b c" over and over: between two neighbours there is one word.
TEST(Baselines, AreMeasuredOnTheMaskedPositionsOfTheHeldOutText) {
  TemporaryFolder folder;
  const Vocabulary vocabulary = MakeVocabulary(15);  // V = 20
  constexpr int32_t a = kFirstWord;
  std::vector<int32_t> document;
  for (int i = 0; i < 900; ++i) document.push_back(a + i % 3);
  const std::string path = WriteTokenFile(folder.File("t"), vocabulary, {document, document});
  const SequenceConfig sequences{.length = 32, .pack = false, .masking = {}};
  Baselines of_one;
  for (const int ranks : {1, 2}) {
    dist::RunLocalRanks(ranks, [&](dist::Communicator& communicator) {
      const BatchLayout layout{4, communicator.rank(), ranks, /*micro_batches=*/2 / ranks};
      const TokenDataset text(path, vocabulary, sequences);
      const Baselines found = MeasureBaselines(communicator, TokenFile::Open(path), vocabulary,
                                               EvaluationLoader(text, layout, /*seed=*/1));
      if (communicator.rank() != 0) return;
      if (ranks == 1) of_one = found;
      EXPECT_NEAR(found.neighbours.MeanLoss(), of_one.neighbours.MeanLoss(), 1e-12);
    });
  }
  EXPECT_GT(of_one.neighbours.targets, 200);
  EXPECT_EQ(of_one.uniform.targets, of_one.neighbours.targets);
  EXPECT_DOUBLE_EQ(of_one.uniform.MeanLoss(), std::log(20));
  EXPECT_NEAR(of_one.word_frequencies.MeanLoss(), std::log(3), 0.02);
  // Wrong where both neighbours are hidden, or one is replaced by another word.
  EXPECT_LT(of_one.neighbours.MeanLoss(), 0.3);
  EXPECT_GT(of_one.neighbours.Accuracy(), 0.9);
}

TEST(Baselines, TheFloorIsOfBuiltInStoriesWithWholeWordsOnly) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (std::string word : StoryWords()) {
    for (char& c : word) c = static_cast<char>(std::tolower(c));
    tokens.push_back(word);
  }
  config::DatasetConfig data;
  const Vocabulary whole(tokens, "test");
  const double entropy = StoriesEntropy({});
  EXPECT_DOUBLE_EQ(FloorOfStories(data, whole).value(), 0.9 * entropy);
  data.mutable_masking()->set_mask_share(1);
  data.mutable_masking()->set_random_share(0);
  EXPECT_DOUBLE_EQ(FloorOfStories(data, whole).value(), entropy);
  data.set_lower_case(false);  // "Then" is no token
  EXPECT_FALSE(FloorOfStories(data, whole));
  data.clear_lower_case();
  tokens.pop_back();
  EXPECT_FALSE(FloorOfStories(data, Vocabulary(tokens, "test")));
  data.add_text("mine.txt");
  EXPECT_FALSE(FloorOfStories(data, whole));
}

RunOutcome Outcome(const std::string& what, double loss, double tokens_per_second) {
  RunOutcome outcome;
  outcome.what = what;
  outcome.held_out.loss = SumsOfClasses(loss * 100, 40, 100);
  outcome.held_out.trees = {{0.1, 0.3}, {0.0, 0.02}, {0.2, 0.4}};
  outcome.after_full_attention = {tokens_per_second * 10, 10};
  return outcome;
}

TEST(RunSummary, TheTableGoesFromTheWorstToTheFloor) {
  const Baselines baselines{SumsOfClasses(564.5, 0, 100), SumsOfClasses(356.0, 22, 100),
                            SumsOfClasses(174.0, 39, 100)};
  const auto lines = LossTable(baselines,
                               {Outcome("trees", 0.6, 1), Outcome("full attention", 0.5, 1),
                                Outcome("frozen trees", 1.2, 1)},
                               0.468);
  ASSERT_EQ(lines.size(), 8u);
  const char* const order[] = {"100 masked",   "uniform", "word frequencies", "neighbour",
                               "frozen trees", "trees",   "full attention",   "floor"};
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_NE(lines[i].find(order[i]), std::string::npos) << lines[i];
    EXPECT_EQ(lines[i].size(), lines[0].size()) << lines[i];
  }
  EXPECT_NE(lines[5].find("0.600    40.0 %"), std::string::npos) << lines[5];
  EXPECT_EQ(LossTable(baselines, {Outcome("trees", 0.6, 1)}, std::nullopt).size(), 5u);
}

TEST(RunSummary, TheVerdictTellsLossPairsQueriesAndSpeed) {
  std::vector<RunOutcome> runs{Outcome("trees", 0.6, 90e3), Outcome("full attention", 0.5, 120e3),
                               Outcome("frozen trees", 1.2, 1)};
  EXPECT_EQ(Verdict(runs),
            "verdict: trees 0.600 against full attention 0.500 (20.0 % higher) and frozen trees "
            "1.200; they compute 20 % of the pairs, leave 1.0 % of the queries without a key, at "
            "0.75 x the speed of full attention (90.0k against 120k tokens/s)");
  runs[0].held_out.loss.sums[0] = 45;
  EXPECT_NE(Verdict(runs).find("0.450 against full attention 0.500 (10.0 % lower)"),
            std::string::npos);
  runs[0].held_out.trees.density = {std::nan(""), 1};  // TC
  EXPECT_NE(Verdict(runs).find("they make 30 % of the operations, leave 1.0 %"), std::string::npos);
}

}  // namespace

}  // namespace treeformer
