#include "datasets/stories.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "datasets/story_words.h"
#include "datasets/vocabulary_trainer.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

using Text = std::vector<std::string>;

Text Split(std::string_view text) {
  std::istringstream stream{std::string(text)};
  Text words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// Words and full stops, as tokens.
Text Tokens(const std::string& story) {
  Text tokens;
  for (std::string word : Split(story)) {
    const bool ends = word.ends_with('.');
    if (ends) word.pop_back();
    tokens.push_back(word);
    if (ends) tokens.push_back(".");
  }
  return tokens;
}

template <typename List>
bool IsIn(const std::string& word, const List& list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Whether the generator can tell this, as far as words go: sentences of its two forms, and a cast
// in which each manner belongs to one animal, both named twice at least.
bool IsStory(const Text& tokens) {
  using namespace story_words;
  std::map<std::string, std::string> manner_of, animal_of;
  std::map<std::string, int> named;
  for (size_t begin = 0; begin < tokens.size();) {
    const auto end = std::find(tokens.begin() + begin, tokens.end(), ".") - tokens.begin();
    const Text s(tokens.begin() + begin, tokens.begin() + end);
    begin = end + 1;
    if (s.size() < 7 || !IsIn(s[0], kTimes) || s[1] != "the") return false;
    if (s.size() == 7) {
      if (!IsIn(s[2], kCrowds) || !IsIn(s[3], kDoings) || s[4] != "in" || s[5] != "the" ||
          !IsIn(s[6], kWeather)) {
        return false;
      }
      continue;
    }
    if (s.size() != 8 || !IsIn(s[4], kMeetings) || s[5] != "the") return false;
    for (const size_t i : {2, 6}) {
      if (!IsIn(s[i], kManners) || !IsIn(s[i + 1], kAnimals)) return false;
      if (manner_of.emplace(s[i + 1], s[i]).first->second != s[i]) return false;
      if (animal_of.emplace(s[i], s[i + 1]).first->second != s[i + 1]) return false;
      ++named[s[i + 1]];
    }
  }
  return std::all_of(named.begin(), named.end(), [](const auto& n) { return n.second >= 2; });
}

TEST(Stories, AStoryIsAPureFunctionOfSeedAndNumber) {
  std::set<std::string> stories;
  for (int64_t i = 0; i < 1000; ++i) stories.insert(Story(1, i, 180));
  EXPECT_EQ(stories.size(), 1000u);
  EXPECT_TRUE(stories.contains(Story(1, 7, 180)));
  EXPECT_FALSE(stories.contains(Story(2, 7, 180)));
  EXPECT_FALSE(stories.contains(Story(1 + (1ull << 32), 7, 180)));
  EXPECT_FALSE(stories.contains(Story(1, 7 + (1ll << 32), 180)));
}

TEST(Stories, LengthsStayNearTheMean) {
  constexpr int64_t kLastSentences = 15;
  for (const int mean : {100, 180, 1000}) {
    int64_t sum = 0;
    for (int64_t i = 0; i < 400; ++i) {
      const int64_t words = Split(Story(3, i, mean)).size();
      EXPECT_GE(words, mean * 85 / 100);
      EXPECT_LE(words, mean * 115 / 100 + kLastSentences);
      sum += words;
    }
    // Uniform lengths: their mean has deviation .3 mean / sqrt(12 * 400); half a sentence is
    // overshot.
    EXPECT_NEAR(sum / 400.0, mean + 4, 5 * .3 * mean / 69 + 4) << mean;
  }
}

// Between two places of an animal stands the half of the cast that it is not of, two in a sentence.
TEST(Stories, WhatIsToldOfAnAnimalIsAskedForFarBackAgain) {
  constexpr int64_t kMeetingWords = 8;
  for (const int mean : {40, 110, 400, 3000}) {
    for (int64_t i = 0; i < 20 + 20000 / mean; ++i) {
      const Text words = Split(Story(5, i, mean));
      std::map<std::string, std::vector<int64_t>> places;
      for (size_t w = 0; w < words.size(); ++w) {
        std::string word = words[w];
        std::erase(word, '.');
        if (IsIn(word, story_words::kManners) || IsIn(word, story_words::kAnimals)) {
          places[word].push_back(w);
        }
      }
      const int64_t cast = std::ssize(places) / 2, large = mean < 512 ? 4 : 8;
      EXPECT_TRUE(cast == large || cast == large / 2) << cast;
      for (const auto& [word, at] : places) {
        EXPECT_GE(at.size(), 2u) << word;
        for (size_t k = 1; k < at.size(); ++k) {
          EXPECT_GT(at[k] - at[k - 1], cast / 4 * kMeetingWords) << word;
        }
      }
    }
  }
}

TEST(Stories, SentencesAreWellFormed) {
  for (int64_t i = 0; i < 300; ++i) {
    const std::string story = Story(7, i, 180);
    EXPECT_TRUE(IsStory(Tokens(story))) << story;
    EXPECT_EQ(story.find_first_of("{}\n\t"), std::string::npos);
    EXPECT_EQ(story.find("  "), std::string::npos);
    EXPECT_TRUE(story.ends_with('.'));
  }
}

// The claim behind the entropy, by enumeration: every word of the stories in every place, all other
// words as they are.  What is still a story is equally probable.
TEST(Stories, TheEntropyCountsTheWordsThatCouldStandInEachPlace) {
  const std::vector<std::string> words = StoryWords();
  for (const int mean : {40, 110, 300}) {
    for (int64_t i = 0; i < 4; ++i) {
      Text tokens = Tokens(Story(11, i, mean));
      double nats = 0;
      for (std::string& token : tokens) {
        const std::string original = token;
        int64_t possible = 0;
        for (const std::string& word : words) {
          token = word;
          possible += IsStory(tokens);
        }
        token = original;
        ASSERT_GE(possible, 1) << original;
        nats += std::log(possible);
      }
      const StoryEntropy entropy = EntropyOfStory(11, i, mean);
      EXPECT_EQ(entropy.tokens, std::ssize(tokens));
      EXPECT_NEAR(entropy.nats, nats, 1e-9 * nats) << mean;
    }
  }
}

// Draws are uniform and do not depend on what was drawn before: each pair of a sentence's free
// words comes as often as any other.
TEST(Stories, FreeWordsAreUniformAndIndependent) {
  std::map<std::pair<std::string, std::string>, int64_t> pairs;
  int64_t meetings = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const Text tokens = Tokens(Story(12, i, 110));
    for (size_t t = 0; t + 4 < tokens.size(); ++t) {
      if (!IsIn(tokens[t], story_words::kTimes) || !IsIn(tokens[t + 4], story_words::kMeetings)) {
        continue;
      }
      ++meetings;
      ++pairs[{tokens[t], tokens[t + 4]}];
    }
  }
  const double expected = static_cast<double>(meetings) / 64;
  double chi_squared = 0;
  for (const auto& [pair, count] : pairs) chi_squared += std::pow(count - expected, 2) / expected;
  EXPECT_EQ(pairs.size(), 64u);
  EXPECT_LT(chi_squared, 63 + 5 * std::sqrt(2 * 63));
}

// By hand: a sentence of two animals has two free words of eight among nine tokens, one about
// nothing four among eight, and follows every eighth.
TEST(Stories, TheMeanEntropyIsThatOfTheSentences) {
  const double by_hand = (2 + 4 / 8.0) * std::log(8) / (9 + 8 / 8.0);
  EXPECT_NEAR(StoriesEntropy({.seed = 1, .count = 1000, .mean_words = 110}), by_hand,
              0.01 * by_hand);
}

TEST(Stories, NoWordIsInTwoLists) {
  std::set<std::string> seen;
  for (const std::string& word : StoryWords()) {
    std::string lower = word;
    for (char& c : lower) c = std::tolower(c);
    EXPECT_TRUE(seen.insert(lower).second) << word;
  }
}

TEST(Stories, AVocabularyTrainedOnThemHoldsAllTheirWords) {
  TemporaryFolder folder;
  const StoriesConfig config{.seed = 9, .count = 3000, .mean_words = 110};
  WriteStories(config, folder.File("stories.txt"));
  std::istringstream lines(folder.Read("stories.txt"));
  std::string line;
  for (int64_t i = 0; i < config.count; ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    ASSERT_EQ(line, Story(9, i, 110));
  }
  EXPECT_FALSE(std::getline(lines, line));

  const std::vector<std::string> words = StoryWords();
  std::set<std::string> told;
  for (const std::string& token : Tokens(folder.Read("stories.txt"))) told.insert(token);
  EXPECT_EQ(told, std::set<std::string>(words.begin(), words.end()));
  VocabularyTrainerStatistics statistics;
  const Vocabulary vocabulary = TrainVocabulary(
      {.text = {.inputs = {folder.File("stories.txt")}, .document = DocumentUnit::kLine},
       .size = 2000},
      &statistics);
  for (std::string word : words) {
    for (char& c : word) c = std::tolower(c);
    EXPECT_NE(vocabulary.Find(word), Vocabulary::kNone) << word;
  }
}

}  // namespace
}  // namespace treeformer::datasets
