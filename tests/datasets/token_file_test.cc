#include "datasets/token_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <vector>

#include "tests/datasets/temporary_folder.h"

namespace datasets {
namespace {

constexpr uint64_t kHash = 0xABCDEF0123456789;
using Documents = std::vector<std::vector<int32_t>>;

void WriteDocuments(const std::string& path, const Documents& documents) {
  TokenFileWriter writer(path, kHash, /*vocabulary_size=*/1000);
  for (const auto& document : documents) {
    writer.Append(document);
    writer.EndDocument();
  }
  writer.Finish();
}

Documents ReadDocuments(const TokenFile& file) {
  Documents documents;
  for (int64_t i = 0; i < file.documents(); ++i) {
    const auto document = file.Document(i);
    documents.emplace_back(document.begin(), document.end());
  }
  return documents;
}

TEST(TokenFile, GivesBackTheDocumentsThatWereWritten) {
  TemporaryFolder folder;
  for (const Documents& documents :
       {Documents{}, Documents{{7}}, Documents{{1, 2, 3}, {4}, {999, 0}},
        Documents(3001, std::vector<int32_t>(331, 5))}) {
    WriteDocuments(folder.File("a.tokens"), documents);
    const TokenFile file = TokenFile::Open(folder.File("a.tokens"), kHash);
    EXPECT_EQ(ReadDocuments(file), documents);
    EXPECT_EQ(file.vocabulary_hash(), kHash);
    EXPECT_EQ(file.vocabulary_size(), 1000);
    int64_t tokens = 0;
    for (const auto& document : documents) tokens += document.size();
    EXPECT_EQ(file.tokens(), tokens);
  }
}

TEST(TokenFile, ADocumentMayComeInManyPieces) {
  TemporaryFolder folder;
  const Documents documents{{1, 2, 3, 4, 5}, {6, 7}};
  WriteDocuments(folder.File("whole"), documents);
  TokenFileWriter writer(folder.File("pieces"), kHash, 1000);
  for (const auto& document : documents) {
    for (const int32_t token : document) writer.Append({&token, 1});
    writer.EndDocument();
  }
  writer.Finish();
  EXPECT_EQ(folder.Read("pieces"), folder.Read("whole"));
}

TEST(TokenFile, MovesWithItsMapping) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1, 2}, {3}});
  TokenFile file = TokenFile::Open(folder.File("a"));
  TokenFile moved = std::move(file);
  EXPECT_EQ(ReadDocuments(moved), (Documents{{1, 2}, {3}}));
}

TEST(TokenFile, AnUnfinishedFileLeavesNothing) {
  TemporaryFolder folder;
  {
    TokenFileWriter writer(folder.File("a"), kHash, 1000);
    writer.Append(std::vector<int32_t>{1, 2});
  }
  EXPECT_TRUE(folder.IsEmpty());
}

TEST(TokenFile, AFinishedFileStandsAlone) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1}});
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename());
  }
  EXPECT_EQ(names, std::vector<std::string>{"a"});
}

TEST(TokenFile, EveryFlippedByteIsRefused) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1, 2, 3}, {4, 5}});
  const std::string good = folder.Read("a");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 0x10;
    const std::string words = i < 8 ? "not a token file" : i < 12 ? "version" : "is corrupt";
    EXPECT_REFUSED(TokenFile::Open(folder.Write("bad", bad)), words);
  }
}

TEST(TokenFile, EveryLengthThatIsCutShortIsRefused) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1, 2, 3}, {4, 5}});
  const std::string good = folder.Read("a");
  for (size_t bytes = 1; bytes < good.size(); ++bytes) {
    EXPECT_REFUSED(TokenFile::Open(folder.Write("bad", good.substr(0, bytes))), "is cut short");
  }
  EXPECT_REFUSED(TokenFile::Open(folder.Write("bad", "")), "is not a token file");
  EXPECT_REFUSED(TokenFile::Open(folder.Write("bad", good + "x")), "is corrupt");
}

TEST(TokenFile, AnotherVersionIsNamed) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1}});
  std::string other = folder.Read("a");
  other[8] = 9;
  EXPECT_REFUSED(TokenFile::Open(folder.Write("a", other)),
                 "has version 9, this program reads version 1");
}

TEST(TokenFile, AnotherVocabularyIsRefused) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1}});
  EXPECT_REFUSED(TokenFile::Open(folder.File("a"), 0x12),
                 "made with another vocabulary: its hash is abcdef0123456789, expected was 12");
}

TEST(TokenFile, FilesThatAreNotTokenFilesAreRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(TokenFile::Open(folder.File("missing")), "No such file");
  EXPECT_REFUSED(TokenFile::Open(folder.path()), "is not a token file");
  EXPECT_REFUSED(TokenFile::Open(folder.Write("text", "Once upon a time")), "is not a token file");
}

// A disk that is full from the first byte: PATH.tmp leads to /dev/full.
TEST(TokenFile, AFullDiskIsRefusedAndNothingStays) {
  TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder.File("a.tmp"));
  EXPECT_REFUSED(WriteDocuments(folder.File("a"), {{1, 2, 3}}),
                 "cannot be written after 0 bytes: No space left on device; free space");
  EXPECT_TRUE(folder.IsEmpty());
}

// A disk that fills up on the way: the largest file this process may write is 3 MB.
TEST(TokenFile, ADiskThatFillsUpIsRefusedAndNothingStays) {
  TemporaryFolder folder;
  struct rlimit before, limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 3 << 20;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_REFUSED(WriteDocuments(folder.File("a"), Documents(10, std::vector<int32_t>(100000, 7))),
                 "bytes: File too large; free space or choose another place");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(folder.IsEmpty());
}

TEST(TokenFile, AFolderThatDoesNotExistIsRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(WriteDocuments(folder.File("no/a"), {{1}}), "cannot be created");
}

}  // namespace
}  // namespace datasets
