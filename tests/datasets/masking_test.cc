#include "datasets/masking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {
namespace {

struct Masked {
  std::vector<int32_t> tokens, positions, originals;
  bool operator==(const Masked&) const = default;
};

Masked Mask(const Masker& masker, std::vector<int32_t> tokens, const SampleKey& key) {
  Masked masked{std::move(tokens), {}, {}};
  masker.Mask(masked.tokens, key, &masked.positions, &masked.originals);
  return masked;
}

// [CLS] w0 .. w(words - 1) [SEP] and padding.
std::vector<int32_t> Sequence(int words, int padding) {
  std::vector<int32_t> tokens(words + 2 + padding, 0);
  tokens[0] = 2;
  std::iota(tokens.begin() + 1, tokens.begin() + 1 + words, kFirstWord);
  tokens[words + 1] = 3;
  return tokens;
}

// Five standard deviations of a binomial count: exceeded by chance once in 1.7 million.
void ExpectBinomial(int64_t count, int64_t trials, double share, const std::string& what) {
  EXPECT_NEAR(count, trials * share, 5 * std::sqrt(trials * share * (1 - share))) << what;
}

TEST(Masking, HasAsManyTargetsAsTheRuleSaysAndAtLeastOne) {
  const Vocabulary vocabulary = MakeVocabulary(1000);
  const Masker masker(vocabulary, {});
  for (const int words : {0, 1, 2, 3, 10, 17, 126, 510}) {
    const Masked masked = Mask(masker, Sequence(words, /*padding=*/5), {1, 0, words});
    const int64_t expected = words == 0 ? 0 : std::max(1L, std::lround(0.15 * words));
    EXPECT_EQ(std::ssize(masked.positions), expected) << words;
    EXPECT_LE(std::ssize(masked.positions), masker.Capacity(words + 2));
  }
}

TEST(Masking, NeverTouchesSpecialTokensOrPadding) {
  const Vocabulary vocabulary = MakeVocabulary(50);
  const Masker masker(vocabulary, {.rate = 1});
  std::vector<int32_t> tokens = Sequence(20, 6);
  tokens[4] = vocabulary.unknown();
  tokens[9] = vocabulary.sep();
  tokens[10] = vocabulary.cls();
  const Masked masked = Mask(masker, tokens, {3, 1, 4});
  for (const int i : {0, 4, 9, 10, 21, 22, 27}) EXPECT_EQ(masked.tokens[i], tokens[i]) << i;
  EXPECT_EQ(masked.positions.size(), 17u);
  for (const int32_t original : masked.originals) EXPECT_FALSE(vocabulary.IsSpecial(original));
  for (const int32_t token : masked.tokens) {
    EXPECT_TRUE(token == vocabulary.mask() || token < kFirstWord + 50);
  }
}

TEST(Masking, PredictsUnknownTokensOnlyWhenAskedAndThenAsBertDoes) {
  const Vocabulary vocabulary = MakeVocabulary(50);
  std::vector<int32_t> tokens = Sequence(20, 6);
  for (int i = 1; i <= 20; ++i) tokens[i] = vocabulary.unknown();
  EXPECT_TRUE(Mask(Masker(vocabulary, {.rate = 1}), tokens, {3, 1, 4}).positions.empty());
  const Masker asked(vocabulary, {.rate = 1, .random_share = 0.2, .unknown_targets = true});
  const Masked masked = Mask(asked, tokens, {3, 1, 4});
  EXPECT_EQ(masked.originals, std::vector<int32_t>(20, vocabulary.unknown()));
  for (int i = 1; i <= 20; ++i) EXPECT_NE(masked.tokens[i], vocabulary.unknown());
  EXPECT_EQ(masked.tokens[0], tokens[0]);
}

TEST(Masking, ChangesNothingButTheTargetsAndNamesWhatStoodThere) {
  const Vocabulary vocabulary = MakeVocabulary(500);
  const Masker masker(vocabulary, {});
  for (int64_t sample = 0; sample < 50; ++sample) {
    const std::vector<int32_t> tokens = Sequence(300, 10);
    Masked masked = Mask(masker, tokens, {1, 2, sample});
    EXPECT_TRUE(std::is_sorted(masked.positions.begin(), masked.positions.end()));
    for (size_t i = 0; i < masked.positions.size(); ++i) {
      masked.tokens[masked.positions[i]] = masked.originals[i];
    }
    EXPECT_EQ(masked.tokens, tokens);
    EXPECT_EQ(std::set(masked.positions.begin(), masked.positions.end()).size(), 45u);
  }
}

TEST(Masking, SharesAreEightyTenTenAndRandomTokensAreUniform) {
  constexpr int kWords = 40, kSamples = 20000;
  const Vocabulary vocabulary = MakeVocabulary(kWords);
  const Masker masker(vocabulary, {});
  const std::vector<int32_t> tokens = Sequence(kWords, 0);
  int64_t targets = 0, masks = 0, kept = 0, random = 0;
  std::map<int32_t, int64_t> at_position, replacements;
  for (int64_t sample = 0; sample < kSamples; ++sample) {
    const Masked masked = Mask(masker, tokens, {7, 0, sample});
    targets += masked.positions.size();
    for (size_t i = 0; i < masked.positions.size(); ++i) {
      ++at_position[masked.positions[i]];
      const int32_t now = masked.tokens[masked.positions[i]];
      masks += now == vocabulary.mask();
      kept += now == masked.originals[i];
      if (now == vocabulary.mask() || now == masked.originals[i]) continue;
      ++random;
      ++replacements[now];
    }
  }
  ASSERT_EQ(targets, 6 * kSamples);
  // A random token is the original itself once in kWords.
  ExpectBinomial(masks, targets, 0.8, "masks");
  ExpectBinomial(kept, targets, 0.1 + 0.1 / kWords, "kept");
  ExpectBinomial(random, targets, 0.1 - 0.1 / kWords, "random");
  for (int i = 0; i < kWords; ++i) {
    ExpectBinomial(at_position[i + 1], kSamples, 6.0 / kWords, "position");
    ExpectBinomial(replacements[kFirstWord + i], random, 1.0 / kWords, "replacement");
  }
}

TEST(Masking, IsAPureFunctionOfSeedEpochAndSample) {
  const Vocabulary vocabulary = MakeVocabulary(500);
  const Masker masker(vocabulary, {});
  const std::vector<int32_t> tokens = Sequence(200, 0);
  const SampleKey key{5, 3, 11};
  const Masked masked = Mask(masker, tokens, key);
  EXPECT_EQ(masked, Mask(Masker(vocabulary, {}), tokens, key));
  // Two independent choices of 30 targets among 200 share 4.5 on average, deviation 1.8.
  for (const SampleKey& other : {SampleKey{6, 3, 11},
                                 {5, 4, 11},
                                 {5, 3, 12},
                                 {5 + (1ull << 32), 3, 11},
                                 {5, 3'000'000'000, 11},
                                 {5, 3, 11 + (1ll << 40)}}) {
    const Masked changed = Mask(masker, tokens, other);
    std::vector<int32_t> shared;
    std::set_intersection(masked.positions.begin(), masked.positions.end(),
                          changed.positions.begin(), changed.positions.end(),
                          std::back_inserter(shared));
    EXPECT_LE(shared.size(), 14u);
  }
}

TEST(Masking, WholeWordsAreMaskedTogether) {
  constexpr int kWords = 100, kPieces = 100;
  const Vocabulary vocabulary = MakeVocabulary(kWords, kPieces);
  const Masker masker(vocabulary, {.rate = 0.3, .whole_word = true});
  std::vector<int32_t> tokens{vocabulary.cls()};
  std::vector<int> word_of{-1};
  for (int word = 0; word < 60; ++word) {
    for (int piece = 0; piece <= word % 4; ++piece) {
      tokens.push_back(kFirstWord + (piece > 0 ? kWords : 0) + word);
      word_of.push_back(word);
    }
  }
  tokens.push_back(vocabulary.sep());
  for (int64_t sample = 0; sample < 200; ++sample) {
    const Masked masked = Mask(masker, tokens, {1, 0, sample});
    std::map<int, int> pieces;
    for (const int32_t position : masked.positions) ++pieces[word_of[position]];
    for (const auto& [word, count] : pieces) EXPECT_EQ(count, word % 4 + 1) << word;
    EXPECT_LE(masked.positions.size(), 45u);  // 0.3 of 150
    EXPECT_GT(masked.positions.size(), 45u - 4u);
  }
}

TEST(Masking, AWordLongerThanTheTargetsStillGivesTargets) {
  const Vocabulary vocabulary = MakeVocabulary(1, 9);
  const Masker masker(vocabulary, {.whole_word = true});
  std::vector<int32_t> tokens = Sequence(10, 0);  // one word of ten pieces
  EXPECT_EQ(Mask(masker, tokens, {}).positions, (std::vector<int32_t>{1, 2}));
}

}  // namespace
}  // namespace treeformer::datasets
