#include "datasets/wordpiece.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/tokenizer.h"
#include "tests/datasets/shared_data.h"

namespace treeformer::datasets {
namespace {

using Ids = std::vector<int32_t>;

Vocabulary SmallVocabulary() {
  return Vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "##a",
                     "a", "##\u00E9", "want", "##want", "##ed"},
                    "small");
}

TEST(WordPiece, TakesTheLongestPieceFirst) {
  const Vocabulary vocabulary = SmallVocabulary();
  WordPiece wordpiece(vocabulary);
  const auto encode = [&](const std::string& word) {
    Ids ids;
    wordpiece.Encode(word, &ids);
    return ids;
  };
  for (int pass = 0; pass < 2; ++pass) {  // afresh, then from the cache
    EXPECT_EQ(encode("unaffable"), (Ids{5, 6, 7}));
    EXPECT_EQ(encode("unwanted"), (Ids{5, 12, 13}));
    EXPECT_EQ(encode("aa\u00E9"), (Ids{9, 8, 10}));
    EXPECT_EQ(encode("unwantedX"), (Ids{1}));  // a word is spelt whole or not at all
    EXPECT_EQ(encode("able"), (Ids{1}));       // a continuation begins no word
    EXPECT_EQ(encode("\u535A\u63A8"), (Ids{1}));
    EXPECT_EQ(encode(""), Ids{});
  }
}

TEST(WordPiece, WordsOfMoreThanAHundredCodePointsAreUnknown) {
  const Vocabulary vocabulary = SmallVocabulary();
  WordPiece wordpiece(vocabulary);
  std::string word = "a";
  for (int i = 1; i < 100; ++i) word += "\u00E9";
  Ids ids;
  wordpiece.Encode(word, &ids);
  EXPECT_EQ(ids.size(), 100u);
  ids.clear();
  wordpiece.Encode(word + "a", &ids);
  EXPECT_EQ(ids, Ids{vocabulary.unknown()});
}

// More distinct words than the cache holds: it forgets, and is still right.
TEST(WordPiece, AFullCacheChangesNothing) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (char digit = '0'; digit <= '9'; ++digit) tokens.push_back(std::string(1, digit));
  for (char digit = '0'; digit <= '9'; ++digit) tokens.push_back("##" + std::string(1, digit));
  const Vocabulary vocabulary(tokens, "digits");
  WordPiece wordpiece(vocabulary);
  for (int pass = 0; pass < 2; ++pass) {
    for (int number = 0; number < 150000; ++number) {
      const std::string word = std::to_string(number);
      Ids ids, expected;
      wordpiece.Encode(word, &ids);
      for (size_t i = 0; i < word.size(); ++i) {
        expected.push_back(word[i] - '0' + (i == 0 ? 5 : 15));
      }
      ASSERT_EQ(ids, expected) << word;
    }
  }
}

TEST(Tokenizer, ReproducesEveryReferenceTokenisation) {
  const std::string rows = SharedData("bert_vocab/squad_dev_question_tokens.jsonl");
  SKIP_WITHOUT(rows);
  const Vocabulary vocabulary = Vocabulary::Load(SharedData("bert_vocab/vocab.txt"));
  Tokenizer tokenizer(vocabulary, /*lower_case=*/true);
  BasicTokenizer basic(/*lower_case=*/true);
  Words words;
  std::ifstream file(rows);
  int count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const nlohmann::json row = nlohmann::json::parse(line);
    const std::string text = row["text"];
    basic.Tokenize(text, &words);
    std::vector<std::string> basic_tokens, pieces;
    for (size_t i = 0; i < words.size(); ++i) basic_tokens.emplace_back(words[i]);
    Ids ids;
    tokenizer.Encode(text, &ids);
    for (const int32_t id : ids) pieces.push_back(vocabulary.Token(id));
    EXPECT_EQ(basic_tokens, row["basic"].get<std::vector<std::string>>()) << text;
    EXPECT_EQ(pieces, row["wordpiece"].get<std::vector<std::string>>()) << text;
    EXPECT_EQ(ids, row["ids"].get<Ids>()) << text;
  }
  EXPECT_EQ(count, 2000);
}

}  // namespace
}  // namespace treeformer::datasets
