#include "datasets/sequences.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "datasets/batch.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {
namespace {

constexpr int64_t kLength = 8;  // six tokens and [CLS], [SEP]

struct Row {
  std::vector<int32_t> tokens, positions, document;
};

class SequencesTest : public testing::Test {
 protected:
  void Make(const Documents& documents, bool pack) {
    WriteTokenFile(folder_.File("tokens"), vocabulary_, documents);
    file_.emplace(TokenFile::Open(folder_.File("tokens")));
    sequences_.emplace(std::span(&*file_, 1), vocabulary_, kLength, pack);
  }
  Row Read(int64_t i) const {
    Row row{std::vector<int32_t>(kLength, 0), std::vector<int32_t>(kLength, 0),
            std::vector<int32_t>(kLength, kPadding)};
    sequences_->Write(i, row.tokens, row.positions, row.document);
    return row;
  }

  TemporaryFolder folder_;
  const Vocabulary vocabulary_ = MakeVocabulary(3000);
  std::optional<TokenFile> file_;
  std::optional<Sequences> sequences_;
};

TEST_F(SequencesTest, ALongDocumentBecomesConsecutiveSequences) {
  Make(DistinctTokens({13, 6, 1}), /*pack=*/false);
  ASSERT_EQ(sequences_->samples(), 5);
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(Read(0).tokens, (Tokens{2, 5, 6, 7, 8, 9, 10, 3}));
  EXPECT_EQ(Read(1).tokens, (Tokens{2, 11, 12, 13, 14, 15, 16, 3}));
  EXPECT_EQ(Read(2).tokens, (Tokens{2, 17, 3, 0, 0, 0, 0, 0}));
  EXPECT_EQ(Read(3).tokens, (Tokens{2, 18, 19, 20, 21, 22, 23, 3}));
  EXPECT_EQ(Read(4).tokens, (Tokens{2, 24, 3, 0, 0, 0, 0, 0}));
  EXPECT_EQ(Read(2).document, (Tokens{0, 0, 0, -1, -1, -1, -1, -1}));
  EXPECT_EQ(Read(3).positions, (Tokens{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_F(SequencesTest, ShortDocumentsArePackedWithTheirOwnNumbersAndPositions) {
  Make(DistinctTokens({1, 2, 3, 6, 2, 1}), /*pack=*/true);
  ASSERT_EQ(sequences_->samples(), 4);
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(Read(0).tokens, (Tokens{2, 5, 3, 2, 6, 7, 3, 0}));
  EXPECT_EQ(Read(0).document, (Tokens{0, 0, 0, 1, 1, 1, 1, -1}));
  EXPECT_EQ(Read(0).positions, (Tokens{0, 1, 2, 0, 1, 2, 3, 0}));
  EXPECT_EQ(Read(1).tokens, (Tokens{2, 8, 9, 10, 3, 0, 0, 0}));
  EXPECT_EQ(Read(2).tokens, (Tokens{2, 11, 12, 13, 14, 15, 16, 3}));
  EXPECT_EQ(Read(3).tokens, (Tokens{2, 17, 18, 3, 2, 19, 3, 0}));
}

TEST_F(SequencesTest, EveryTokenComesOnceInOrderAndPackingNeverMixesDocuments) {
  std::vector<int> lengths;
  for (int i = 0; i < 150; ++i) lengths.push_back(1 + i * i % 23);
  const Documents documents = DistinctTokens(lengths);
  std::vector<int> document_of(kFirstWord, -1);
  for (size_t d = 0; d < documents.size(); ++d) {
    document_of.insert(document_of.end(), documents[d].size(), d);
  }
  for (const bool pack : {false, true}) {
    Make(documents, pack);
    int32_t expected = kFirstWord;
    for (int64_t i = 0; i < sequences_->samples(); ++i) {
      const Row row = Read(i);
      int owner = -1;  // the document of the current number
      for (int64_t j = 0; j < kLength; ++j) {
        if (row.document[j] == kPadding) continue;
        ASSERT_TRUE(j == 0 || row.document[j - 1] != kPadding) << "padding stands at the end";
        if (j == 0 || row.document[j] != row.document[j - 1]) {
          EXPECT_EQ(row.document[j], j == 0 ? 0 : row.document[j - 1] + 1);
          EXPECT_EQ(row.tokens[j], vocabulary_.cls());
          EXPECT_EQ(row.positions[j], 0);
          owner = -1;
          continue;
        }
        EXPECT_EQ(row.positions[j], row.positions[j - 1] + 1);
        if (row.tokens[j] == vocabulary_.sep()) continue;
        EXPECT_EQ(row.tokens[j], expected++);
        if (owner == -1) owner = document_of[row.tokens[j]];
        EXPECT_EQ(document_of[row.tokens[j]], owner);
      }
    }
    EXPECT_EQ(expected, kFirstWord + file_->tokens());
  }
}

TEST_F(SequencesTest, PackingLeavesNoRoomForTheNextPiece) {
  std::vector<int> lengths;
  for (int i = 0; i < 100; ++i) lengths.push_back(1 + i * 7 % 11);
  Make(DistinctTokens(lengths), /*pack=*/true);
  for (int64_t i = 0; i + 1 < sequences_->samples(); ++i) {
    const auto used = kLength - std::ranges::count(Read(i).document, kPadding);
    const auto next = std::ranges::count(Read(i + 1).document, 0);
    EXPECT_GT(used + next, kLength) << i;
  }
}

TEST_F(SequencesTest, AnIdThatIsNoLongerOfTheVocabularyIsRefused) {
  Make({{5, 6, 7}}, /*pack=*/false);
  std::fstream(folder_.File("tokens"), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(67)  // the highest byte of the first token, of the mapped file
      .put('\x7F');
  EXPECT_REFUSED(Read(0), "have changed since they were verified");
}

}  // namespace
}  // namespace treeformer::datasets
