#include "datasets/token_file_record.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"

namespace treeformer::datasets {
namespace {

namespace fs = std::filesystem;

class TokenFileRecordTest : public testing::Test {
 protected:
  TokenFileRecordTest() { WriteTokenFile(path_, vocabulary_, {{5, 1, 6}, {1, 1, 7}}); }

  // Changes an id to one beyond the vocabulary; size, time and inode stay as they were.
  void DamageUnseen() {
    const auto time = fs::last_write_time(path_);
    std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary).seekp(64).put('\x7F');
    fs::last_write_time(path_, time);
  }

  TemporaryFolder folder_;
  const Vocabulary vocabulary_ = MakeVocabulary(4);
  const std::string path_ = folder_.File("tokens");
};

TEST_F(TokenFileRecordTest, AWholeReadingCountsUnknownTokens) {
  const TokenFileRecord record = TokenFile::Open(path_, vocabulary_).record();
  EXPECT_EQ(record.tokens, 6);
  EXPECT_EQ(record.unknown_tokens, 3);
}

TEST_F(TokenFileRecordTest, AFileThatIsKnownIsNotReadAgain) {
  const TokenFileRecord record = TokenFile::Open(path_, vocabulary_).record();
  DamageUnseen();
  EXPECT_EQ(TokenFile::Open(path_, vocabulary_, {record}).record(), record);
  EXPECT_REFUSED(TokenFile::Open(path_, vocabulary_), "its checksum does not match");
}

TEST_F(TokenFileRecordTest, AFileThatWasTouchedCopiedOrChangedIsReadAgain) {
  const TokenFileRecord record = TokenFile::Open(path_, vocabulary_).record();
  const std::string touched = folder_.File("touched");
  fs::copy_file(path_, touched);  // another inode
  fs::last_write_time(touched, fs::last_write_time(path_));
  DamageUnseen();
  EXPECT_NE(TokenFile::Open(touched, vocabulary_, {record}).record(), record);
  fs::last_write_time(path_, fs::last_write_time(path_) + std::chrono::nanoseconds(1000));
  EXPECT_REFUSED(TokenFile::Open(path_, vocabulary_, {record}), "its checksum does not match");
}

TEST_F(TokenFileRecordTest, CountsAndOffsetsAreCheckedEvenOfAFileThatIsKnown) {
  const TokenFileRecord record = TokenFile::Open(path_, vocabulary_).record();
  const auto time = fs::last_write_time(path_);
  const std::string good = folder_.Read("tokens");
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(good.size()) - 16)
      .put('\x7F');  // where document 1 begins
  fs::last_write_time(path_, time);
  EXPECT_REFUSED(TokenFile::Open(path_, vocabulary_, {record}), "document 1 begins at token 127");
}

TEST_F(TokenFileRecordTest, IsReadAsItWasWrittenAndDamagedLinesAreNone) {
  const TokenFileRecord record = TokenFile::Open(path_, vocabulary_).record();
  const TokenFileRecord other{1, 2, UINT64_MAX, 4, 5, 6};
  SaveTokenFileRecords({record, other}, folder_.File("verified.txt"));
  EXPECT_EQ(LoadTokenFileRecords(folder_.File("verified.txt")), (TokenFileRecords{record, other}));
  folder_.Write("verified.txt",
                "1 2 3\n\n1 2 x 4 5 6\n1 2 3 4 5 6 7\n1 2 18446744073709551615 4 5 6\n");
  EXPECT_EQ(LoadTokenFileRecords(folder_.File("verified.txt")), (TokenFileRecords{other}));
  EXPECT_TRUE(LoadTokenFileRecords(folder_.File("none")).empty());
  EXPECT_TRUE(LoadTokenFileRecords(folder_.path()).empty());
}

}  // namespace
}  // namespace treeformer::datasets
