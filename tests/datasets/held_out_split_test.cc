#include "datasets/held_out_split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

using Document = std::vector<int32_t>;
using Documents = std::vector<Document>;

constexpr int32_t kFirstWord = 5, kContinuation = 6;

Vocabulary SmallVocabulary() {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a"};
  for (int i = 7; i < 1000; ++i) tokens.push_back(std::to_string(i));
  return Vocabulary(tokens, "small");
}

Document Numbers(int64_t count, int32_t first) {
  Document document(count);
  for (int64_t i = 0; i < count; ++i) document[i] = 7 + (first + i) % 900;
  return document;
}

struct Sides {
  Documents training, held_out;
};

Sides Split(const Documents& documents, double fraction, int64_t min_tokens, int64_t piece) {
  TemporaryFolder folder;
  const Vocabulary vocabulary = SmallVocabulary();
  TokenFileWriter training(folder.File("t"), vocabulary.hash(), vocabulary.size());
  TokenFileWriter held_out(folder.File("h"), vocabulary.hash(), vocabulary.size());
  HeldOutSplit split(vocabulary, fraction, min_tokens, &training, &held_out);
  for (const Document& document : documents) {
    for (int64_t i = 0; i < std::ssize(document); i += piece) {
      const int64_t count = std::min(piece, std::ssize(document) - i);
      split.Append({document.data() + i, static_cast<size_t>(count)});
    }
    split.EndDocument();
  }
  training.Finish();
  held_out.Finish();
  const auto read = [&](const std::string& name) {
    const TokenFile file = TokenFile::Open(folder.File(name));
    Documents all;
    for (int64_t i = 0; i < file.documents(); ++i) {
      all.emplace_back(file.Document(i).begin(), file.Document(i).end());
    }
    return all;
  };
  return {read("t"), read("h")};
}

TEST(HeldOutSplit, TheEndOfALongDocumentIsHeldOut) {
  for (const int64_t count : {2000, 300000}) {  // kept in memory, and flushed on the way
    for (const int64_t piece : {777, 1000000}) {
      const Documents documents{Numbers(count, 0), Numbers(count, 3)};
      const Sides sides = Split(documents, /*fraction=*/0.1, /*min_tokens=*/200, piece);
      ASSERT_EQ(sides.training.size(), 2u);
      ASSERT_EQ(sides.held_out.size(), 2u);
      for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(std::ssize(sides.held_out[i]), count / 10);
        Document joined = sides.training[i];
        joined.insert(joined.end(), sides.held_out[i].begin(), sides.held_out[i].end());
        EXPECT_EQ(joined, documents[i]);
      }
    }
  }
}

TEST(HeldOutSplit, TheHeldOutEndBeginsWithAWord) {
  Document document(1000, kFirstWord);
  std::fill(document.begin() + 900, document.begin() + 905, kContinuation);
  const Sides sides = Split({document}, 0.1, 50, 64);
  EXPECT_EQ(sides.training[0].size(), 905u);
  EXPECT_EQ(sides.held_out[0].size(), 95u);
  const Sides all = Split({Document(1000, kContinuation)}, 0.1, 50, 64);
  EXPECT_EQ(all.training[0].size(), 1000u);  // no word begins there
  EXPECT_TRUE(all.held_out.empty());
}

TEST(HeldOutSplit, EveryTenthShortDocumentIsHeldOutWhole) {
  Documents documents;
  for (int i = 0; i < 100; ++i) documents.push_back(Numbers(1 + i % 13, i));
  const Sides sides = Split(documents, 0.1, 512, 5);
  Documents training, held_out;
  for (int i = 0; i < 100; ++i) (i % 10 == 5 ? held_out : training).push_back(documents[i]);
  EXPECT_EQ(sides.training, training);
  EXPECT_EQ(sides.held_out, held_out);
}

TEST(HeldOutSplit, LongDocumentsDoNotDisturbTheCountOfShortOnes) {
  const Document small = Numbers(10, 0), large = Numbers(1000, 1);
  const Sides sides = Split({small, large, small, large, small, small}, 0.5, 100, 1000);
  Documents held_out{Document(large.begin() + 500, large.end()), small,
                     Document(large.begin() + 500, large.end()), small};
  EXPECT_EQ(sides.held_out, held_out);
}

}  // namespace
}  // namespace treeformer::datasets
