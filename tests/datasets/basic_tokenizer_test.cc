#include "datasets/basic_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace treeformer::datasets {
namespace {

using Strings = std::vector<std::string>;

Strings Tokenize(const std::string& text, bool lower_case = true) {
  BasicTokenizer tokenizer(lower_case);
  Words words;
  tokenizer.Tokenize(text, &words);
  Strings strings;
  for (size_t i = 0; i < words.size(); ++i) strings.emplace_back(words[i]);
  return strings;
}

Strings TokenizeCased(const std::string& text) { return Tokenize(text, /*lower_case=*/false); }

// The examples of Google's and Hugging Face's own tests.
TEST(BasicTokenizer, AgreesWithTheExamplesOfBert) {
  EXPECT_EQ(Tokenize("ah\u535A\u63A8zz"), (Strings{"ah", "\u535A", "\u63A8", "zz"}));
  EXPECT_EQ(Tokenize(" \tHeLLo!how  \n Are yoU?  "),
            (Strings{"hello", "!", "how", "are", "you", "?"}));
  EXPECT_EQ(Tokenize("H\u00E9llo"), (Strings{"hello"}));
  EXPECT_EQ(TokenizeCased(" \tHeLLo!how  \n Are yoU?  "),
            (Strings{"HeLLo", "!", "how", "Are", "yoU", "?"}));
  EXPECT_EQ(TokenizeCased("H\u00E4LL\u00E4"), (Strings{"H\u00E4LL\u00E4"}));
  EXPECT_EQ(
      Tokenize("a\n'll !!to?'d of, can't."),
      (Strings{"a", "'", "ll", "!", "!", "to", "?", "'", "d", "of", ",", "can", "'", "t", "."}));
}

TEST(BasicTokenizer, EmptyTextHasNoWords) {
  EXPECT_EQ(Tokenize(""), Strings{});
  EXPECT_EQ(Tokenize(" \t\r\n"), Strings{});
  EXPECT_EQ(Tokenize("\u00A0\u2028\u200B"), Strings{});
}

TEST(BasicTokenizer, ControlsAreDroppedAndJoinWhatTheyStandIn) {
  EXPECT_EQ(Tokenize(std::string("a\0b\x0B"
                                 "c\x7F"
                                 "d",
                                 7)),
            (Strings{"abcd"}));
  EXPECT_EQ(Tokenize("soft\u00ADhyphen \uFFFD zero\u200Bwidth \uFEFFmark"),
            (Strings{"softhyphen", "zerowidth", "mark"}));
}

TEST(BasicTokenizer, EveryUnicodeSpaceSeparates) {
  EXPECT_EQ(Tokenize("a\u00A0b\u2003c\u3000d\u2028e\u2029f\rg"),
            (Strings{"a", "b", "c", "d", "e", "f", "g"}));
}

TEST(BasicTokenizer, UnicodePunctuationIsSplitButSymbolsAreNot) {
  EXPECT_EQ(Tokenize("\u201CYes\u201D\u2014no\u2026"),
            (Strings{"\u201C", "yes", "\u201D", "\u2014", "no", "\u2026"}));
  EXPECT_EQ(Tokenize("5\u20AC a\u00D7b $5"), (Strings{"5\u20AC", "a\u00D7b", "$", "5"}));
}

TEST(BasicTokenizer, AccentsGoOnlyWhereCaseGoes) {
  EXPECT_EQ(Tokenize("\u00C5ngstr\u00F6m e\u0301 \u1E69"), (Strings{"angstrom", "e", "s"}));
  EXPECT_EQ(TokenizeCased("e\u0301"), (Strings{"e\u0301"}));
  EXPECT_EQ(Tokenize("\u0301"), Strings{});  // nothing but an accent
}

TEST(BasicTokenizer, HangulIsDecomposedOnlyWhereCaseGoes) {
  EXPECT_EQ(Tokenize("\uD55C"), (Strings{"\u1112\u1161\u11AB"}));
  EXPECT_EQ(TokenizeCased("\uD55C"), (Strings{"\uD55C"}));
}

TEST(BasicTokenizer, LowerCaseFollowsTheRulesOfWords) {
  EXPECT_EQ(Tokenize("\u0130stanbul"), (Strings{"istanbul"}));
  EXPECT_EQ(Tokenize("\u039F\u0394\u039F\u03A3 \u03A3\u0391"),
            (Strings{"\u03BF\u03B4\u03BF\u03C2", "\u03C3\u03B1"}));
}

TEST(BasicTokenizer, AWordOfAMillionMarksInTheWorstOrderTakesNoQuadraticTime) {
  std::string text = "e";
  for (int i = 0; i < 500'000; ++i) text += "\u0301\u0323";
  EXPECT_EQ(Tokenize(text), (Strings{"e"}));
  EXPECT_EQ(TokenizeCased(text), (Strings{text}));  // neither ordered nor dropped
}

TEST(BasicTokenizer, SpecialTokensInTheTextAreText) {
  EXPECT_EQ(Tokenize("a [MASK]"), (Strings{"a", "[", "mask", "]"}));
  EXPECT_EQ(TokenizeCased("[MASK]"), (Strings{"[", "MASK", "]"}));
}

TEST(BasicTokenizer, AWordThatTurnsOutNotAsciiIsReadOnce) {
  EXPECT_EQ(Tokenize("well-kn\u00F6wn-fact next"),
            (Strings{"well", "-", "known", "-", "fact", "next"}));
}

TEST(BasicTokenizer, CuttingAtWhiteSpaceChangesNothing) {
  const std::string text = "The caf\u00E9\u2019s d\u00E9cor, \u5317\u4EAC na\u00EFve\u2014 end.";
  const Strings whole = Tokenize(text);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ' ') continue;
    Strings parts = Tokenize(text.substr(0, i));
    for (const std::string& word : Tokenize(text.substr(i))) parts.push_back(word);
    EXPECT_EQ(parts, whole) << i;
  }
}

}  // namespace
}  // namespace treeformer::datasets
