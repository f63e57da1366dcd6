#include "datasets/stories.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "datasets/story_sentences.h"
#include "datasets/story_words.h"
#include "datasets/vocabulary_trainer.h"
#include "tests/datasets/temporary_folder.h"

namespace datasets {
namespace {

using Text = std::vector<std::string>;

Text Split(std::string_view text) {
  std::istringstream stream{std::string(text)};
  Text words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string Lower(std::string word) {
  std::erase_if(word, [](char c) { return !std::isalpha(c); });
  for (char& c : word) c = std::tolower(c);
  return word;
}

// The sentences of a story, each as its words with their punctuation.
std::vector<Text> Sentences(const std::string& story) {
  std::vector<Text> sentences(1);
  for (const std::string& word : Split(story)) {
    sentences.back().push_back(word);
    if (word.ends_with('.')) sentences.emplace_back();
  }
  EXPECT_TRUE(sentences.back().empty()) << "the last sentence is not finished";
  sentences.pop_back();
  return sentences;
}

// The words of the facts, in lower case; of a place the noun.
std::set<std::string> FactWords() {
  std::set<std::string> words;
  for (const auto list : story_words::kLists) {
    for (const auto word : list) words.insert(Lower(Split(word).back()));
  }
  return words;
}

std::set<std::string> Names(bool women, bool men) {
  std::set<std::string> names;
  for (const auto name : story_words::kWomen) {
    if (women) names.insert(Lower(std::string(name)));
  }
  for (const auto name : story_words::kMen) {
    if (men) names.insert(Lower(std::string(name)));
  }
  return names;
}

std::set<std::string> Intersection(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
  return both;
}

std::set<std::string> LowerSet(const Text& sentence) {
  std::set<std::string> words;
  for (const std::string& word : sentence) words.insert(Lower(word));
  return words;
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

TEST(Stories, LengthsSpreadAroundTheMean) {
  constexpr int64_t kLongestSentence = 20;
  for (const int mean : {40, 180, 1000}) {
    int64_t sum = 0;
    for (int64_t i = 0; i < 400; ++i) {
      const int64_t words = Split(Story(3, i, mean)).size();
      EXPECT_GE(words, mean / 2);
      EXPECT_LE(words, mean + mean / 2 + kLongestSentence);
      sum += words;
    }
    // Uniform lengths: their mean has deviation mean / sqrt(12 * 400); half a sentence is overshot.
    EXPECT_NEAR(sum / 400.0, mean + 5, 5 * mean / 69.0 + 5) << mean;
  }
}

// Each word of a fact comes, in turns, where it is told and where it is asked for.
TEST(Stories, WhatIsAskedWasToldFarBackAndNotSince) {
  struct Place {
    int64_t word, sentence;
  };
  const std::set<std::string> fact_words = FactWords(), names = Names(true, true);
  for (const int mean : {60, 180, 400, 3000}) {
    int64_t told = 0, asked = 0;
    for (int64_t i = 0; i < 20 + 20000 / mean; ++i) {
      const std::vector<Text> sentences = Sentences(Story(5, i, mean));
      std::map<std::string, std::vector<Place>> places;
      int64_t words = 0;
      for (size_t s = 0; s < sentences.size(); ++s) {
        for (const std::string& word : sentences[s]) {
          const std::string lower = Lower(word);
          if (fact_words.contains(lower)) places[lower].push_back({words, static_cast<int64_t>(s)});
          ++words;
        }
      }
      for (const auto& [word, at] : places) {
        for (size_t k = 0; k < at.size(); k += 2) {
          ++told;
          if (k + 1 == at.size()) continue;
          ++asked;
          EXPECT_GE(at[k + 1].word - at[k].word, RecallDistance(words - 20)) << word;
          const auto teller = Intersection(LowerSet(sentences[at[k].sentence]), names);
          const auto asker = Intersection(LowerSet(sentences[at[k + 1].sentence]), names);
          EXPECT_FALSE(Intersection(teller, asker).empty()) << word;
        }
      }
    }
    EXPECT_GT(asked, 0.6 * told) << mean;
  }
}

TEST(Stories, AFifthOfTheWordsBelongsToFacts) {
  const std::set<std::string> fact_words = FactWords();
  int64_t of_facts = 0, all = 0;
  for (int64_t i = 0; i < 200; ++i) {
    for (const std::string& word : Split(Story(6, i, 180))) {
      of_facts += fact_words.contains(Lower(word));
      ++all;
    }
  }
  EXPECT_GT(of_facts, all / 10);
  EXPECT_LT(of_facts, all / 4);
}

TEST(Stories, SentencesAreWellFormed) {
  for (int64_t i = 0; i < 500; ++i) {
    const std::string story = Story(7, i, 180);
    EXPECT_EQ(story.find_first_of("{}\n\t"), std::string::npos);
    EXPECT_EQ(story.find("  "), std::string::npos);
    EXPECT_EQ(story.find(" ,"), std::string::npos);
    for (const Text& sentence : Sentences(story)) {
      EXPECT_TRUE(std::isupper(sentence[0][0])) << sentence[0];
      EXPECT_GE(sentence.size(), 4u);
      for (size_t w = 0; w + 1 < sentence.size(); ++w) {
        const std::string &word = sentence[w], &next = sentence[w + 1];
        EXPECT_NE(Lower(word), Lower(next)) << story;
        const bool vowel = std::string("aeiou").find(next[0]) != std::string::npos;
        EXPECT_FALSE(vowel && (word == "a" || word == "A")) << next;
        EXPECT_FALSE(!vowel && (word == "an" || word == "An")) << next;
      }
    }
  }
}

TEST(Stories, PronounsAgreeWithTheOnlyPersonOfTheSentence) {
  const std::set<std::string> women = Names(true, false), men = Names(false, true);
  const std::set<std::string> feminine{"she", "her"}, masculine{"he", "his", "him"};
  int64_t pronouns = 0;
  for (int64_t i = 0; i < 500; ++i) {
    for (const Text& sentence : Sentences(Story(8, i, 180))) {
      const std::set<std::string> words = LowerSet(sentence);
      const bool woman = !Intersection(words, women).empty();
      const bool man = !Intersection(words, men).empty();
      const bool she = !Intersection(words, feminine).empty();
      const bool he = !Intersection(words, masculine).empty();
      EXPECT_FALSE(she && he);
      EXPECT_TRUE(woman || !she);
      EXPECT_TRUE(man || !he);
      pronouns += she || he;
    }
  }
  EXPECT_GT(pronouns, 500);
}

TEST(Stories, NoWordOfAFactIsInTwoListsOrInASentence) {
  std::set<std::string> seen = Names(true, true);
  EXPECT_EQ(seen.size(), story_words::kWomen.size() + story_words::kMen.size());
  for (const auto list : story_words::kLists) {
    for (const auto word : list) {
      EXPECT_TRUE(seen.insert(Lower(Split(word).back())).second) << word;
    }
  }
  Text sentences;
  const auto add = [&](const auto& list) {
    for (const auto& sentence : list) {
      for (const std::string& word : Split(sentence)) {
        if (word.find('{') == std::string::npos) sentences.push_back(Lower(word));
      }
    }
  };
  using namespace story_sentences;
  add(kFillers), add(kTimes), add(kDurations), add(kWeather), add(kCrowds), add(kFeelings);
  for (const FactForm& form : kFactForms) add(form.tell), add(form.ask);
  for (const std::string& word : sentences) EXPECT_FALSE(seen.contains(word)) << word;
}

TEST(Stories, AVocabularyOfTwoThousandHoldsAllTheirWords) {
  TemporaryFolder folder;
  const StoriesConfig config{.seed = 9, .count = 3000, .mean_words = 180};
  WriteStories(config, folder.File("stories.txt"));
  std::istringstream lines(folder.Read("stories.txt"));
  std::string line;
  for (int64_t i = 0; i < config.count; ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    ASSERT_EQ(line, Story(9, i, 180));
  }
  EXPECT_FALSE(std::getline(lines, line));

  std::set<std::string> distinct;
  for (const std::string& word : Split(folder.Read("stories.txt"))) distinct.insert(Lower(word));
  EXPECT_GE(distinct.size(), 500u);
  EXPECT_LE(distinct.size(), 1500u);
  VocabularyTrainerStatistics statistics;
  const Vocabulary vocabulary = TrainVocabulary(
      {.text = {.inputs = {folder.File("stories.txt")}, .document = DocumentUnit::kLine},
       .size = 2000},
      &statistics);
  for (const std::string& word : distinct) {
    EXPECT_NE(vocabulary.Find(word), Vocabulary::kNone) << word;
  }
}

}  // namespace
}  // namespace datasets
