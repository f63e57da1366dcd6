#include "datasets/vocabulary_trainer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "datasets/pair_merger.h"
#include "datasets/tokenizer.h"
#include "datasets/utf8.h"
#include "datasets/word_counter.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

using Strings = std::vector<std::string>;

Strings Tokens(const Vocabulary& vocabulary) {
  Strings tokens;
  for (int32_t id = 0; id < vocabulary.size(); ++id) tokens.push_back(vocabulary.Token(id));
  return tokens;
}

Strings Train(const std::string& text, VocabularyTrainerOptions options,
              VocabularyTrainerStatistics* statistics) {
  TemporaryFolder folder;
  options.text.inputs = {folder.Write("a.txt", text)};
  return Tokens(TrainVocabulary(options, statistics));
}

std::string RandomText(int words, unsigned seed) {
  std::mt19937 engine(seed);
  std::string text;
  for (int i = 0; i < words; ++i) {
    const int word = std::min(engine() % 300, engine() % 300);
    std::mt19937 letters(word);
    for (int j = letters() % 7; j >= 0; --j) text += static_cast<char>('a' + letters() % 6);
    text += ' ';
  }
  return text;
}

TEST(VocabularyTrainer, AWorkedExample) {
  VocabularyTrainerStatistics statistics;
  // Pairs: "b ##a" 5; "c ##a" 2, "##a ##b" 2; "ca" and "##ab" then give "cab" by either way.
  const Strings tokens =
      Train("ba ba Ba BA b\u00E1 cab cab d", {.size = 100, .min_frequency = 2}, &statistics);
  EXPECT_EQ(tokens, (Strings{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d",
                             "##a", "##b", "ba", "ca", "cab"}));
  EXPECT_EQ(statistics.words, 8);
  EXPECT_EQ(statistics.distinct_words, 3);
  EXPECT_EQ(statistics.characters, 4);
}

TEST(VocabularyTrainer, StopsAtTheSize) {
  VocabularyTrainerStatistics statistics;
  EXPECT_EQ(Train(RandomText(2000, 1), {.size = 60}, &statistics).size(), 60u);
}

// The definition without any bookkeeping: count all pairs afresh before each merge.
Strings SlowPieces(Strings pieces, std::map<Strings, int> words, size_t size, int min_frequency) {
  while (pieces.size() < size) {
    std::map<std::pair<int, int>, int> counts;
    const auto id = [&](const std::string& piece) {
      return static_cast<int>(std::find(pieces.begin(), pieces.end(), piece) - pieces.begin());
    };
    for (const auto& [word, count] : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        counts[{id(word[i]), id(word[i + 1])}] += count;
      }
    }
    std::pair<int, int> best;
    int best_count = min_frequency - 1;
    for (const auto& [pair, count] : counts) {
      if (count > best_count) best = pair, best_count = count;
    }
    if (best_count < min_frequency) break;
    const std::string left = pieces[best.first], right = pieces[best.second];
    const std::string merged = left + right.substr(2);
    std::map<Strings, int> merged_words;
    for (const auto& [word, count] : words) {
      Strings next;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool here = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
        next.push_back(here ? merged : word[i]);
        if (here) ++i;
      }
      merged_words[next] += count;
    }
    words = merged_words;
    if (id(merged) == static_cast<int>(pieces.size())) pieces.push_back(merged);
  }
  return pieces;
}

TEST(PairMerger, AgreesWithCountingAllPairsAfresh) {
  std::mt19937 engine(1);
  const Strings pieces{"a", "b", "c", "##a", "##b", "##c"};
  for (int trial = 0; trial < 20; ++trial) {
    PairMerger merger(pieces);
    std::map<Strings, int> words;
    for (int i = 0; i < 60; ++i) {
      std::vector<int32_t> ids{static_cast<int32_t>(engine() % 3)};
      for (int j = engine() % 9; j > 0; --j) ids.push_back(3 + engine() % 3);
      const int count = 1 + engine() % 5;
      Strings word;
      for (const int32_t id : ids) word.push_back(pieces[id]);
      words[word] += count;
      merger.AddWord(ids, count);
    }
    merger.Merge(/*size=*/80, /*min_frequency=*/3);
    EXPECT_EQ(merger.pieces(), SlowPieces(pieces, words, 80, 3)) << trial;
  }
}

TEST(VocabularyTrainer, TheVocabularyIsTheSameForEveryNumberOfThreads) {
  const std::string text = RandomText(20000, 2);
  VocabularyTrainerOptions options{.size = 200};
  options.text.block_bytes = 1000;
  options.max_words = 150;  // so that it forgets on the way
  Strings expected;
  for (const int threads : {1, 2, 5}) {
    options.threads = threads;
    VocabularyTrainerStatistics statistics;
    const Strings tokens = Train(text, options, &statistics);
    EXPECT_GT(statistics.forgotten_words, 0);
    if (threads == 1) expected = tokens;
    EXPECT_EQ(tokens, expected) << threads;
  }
}

TEST(VocabularyTrainer, ATrainedVocabularySpellsItsText) {
  const std::string text = RandomText(3000, 3);
  VocabularyTrainerStatistics statistics;
  const Vocabulary vocabulary(Train(text, {.size = 150}, &statistics), "trained");
  std::vector<int32_t> ids;
  Tokenizer(vocabulary, /*lower_case=*/true).Encode(text, &ids);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), vocabulary.unknown()), 0);
}

TEST(VocabularyTrainer, RareCharactersAreLeftOutWithTheirWords) {
  VocabularyTrainerStatistics statistics;
  const Strings tokens = Train("aab ab ab xa", {.size = 100, .max_alphabet = 2}, &statistics);
  EXPECT_EQ(statistics.left_out_words, 1);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "x"), 0);
}

TEST(WordCounter, ForgetsTheRarestWordsFirst) {
  WordCounter counter(/*max_words=*/4);
  counter.Add({{"a", 5}, {"b", 1}, {"c", 2}, {"d", 9}});
  EXPECT_EQ(counter.Sorted().size(), 4u);
  counter.Add({{"e", 1}});
  EXPECT_EQ(counter.Sorted(), (std::vector<std::pair<std::string, int64_t>>{{"a", 5}, {"d", 9}}));
  EXPECT_EQ(counter.occurrences(), 18);
  EXPECT_EQ(counter.forgotten_occurrences(), 4);
}

TEST(VocabularyTrainer, WhatCannotBeTrainedIsRefused) {
  VocabularyTrainerStatistics statistics;
  EXPECT_REFUSED(Train("abc", {.size = 9}, &statistics), "size is 9, expected 10 or more");
  EXPECT_REFUSED(Train("abc", {.size = 5}, &statistics), "size is 5, expected 6 or more");
  EXPECT_REFUSED(Train(" \n", {.size = 100}, &statistics), "holds no words");
}

// Ideographs 0, 1, 2, ... of which number i occurs about 20,000 / (i + 1) times.
std::string IdeographsByZipf(int different) {
  std::string text;
  for (int i = 0; i < different; ++i) {
    for (int n = 0; n < 20'000 / (i + 1); ++n) AppendUtf8(0x4E00 + i, &text);
    text += ' ';
  }
  return text;
}

TEST(VocabularyTrainer, TheAlphabetGrowsBeyondAThousandWhereTheTextTakesIt) {
  const std::string text = IdeographsByZipf(2500);
  VocabularyTrainerStatistics statistics;
  const auto characters = [&](VocabularyTrainerOptions options) {
    statistics = {};
    Train(text, options, &statistics);
    return statistics.characters;
  };
  const auto share = [&] {
    return static_cast<double>(statistics.left_out_words) / static_cast<double>(statistics.words);
  };
  EXPECT_EQ(characters({.size = 8000, .max_alphabet = 1000}), 1000);
  EXPECT_GT(share(), 0.05);
  EXPECT_GT(characters({.size = 8000}), 2400);
  EXPECT_GT(share(), 0.0);
  EXPECT_LE(share(), 0.0005);
  EXPECT_EQ(characters({.size = 8000, .max_alphabet = 2500}), 2500);
  EXPECT_EQ(share(), 0.0);
  EXPECT_EQ(characters({.size = 3000}), 1500);  // half of the vocabulary
  EXPECT_EQ(characters({.size = 1500}), 1000);
  EXPECT_REFUSED(characters({.max_alphabet = -1}), "alphabet is -1, expected 0 or more");
}

}  // namespace
}  // namespace treeformer::datasets
