#include "datasets/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <vector>

#include "tests/datasets/full_disk.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
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
  EXPECT_REFUSED(TokenFile::Open(folder.path()), "it is a folder");
  EXPECT_REFUSED(TokenFile::Open(folder.Write("text", "Once upon a time")), "is not a token file");
}

// Changes the numbers at these bytes and makes both checksums right again.
template <typename T>
std::string Crafted(std::string file, const std::vector<std::pair<size_t, T>>& changes) {
  for (const auto& [at, value] : changes) memcpy(file.data() + at, &value, sizeof value);
  const uint64_t payload = XXH3_64bits(file.data() + 64, file.size() - 64);
  memcpy(file.data() + 40, &payload, sizeof payload);
  const uint64_t header = XXH3_64bits(file.data(), 56);
  memcpy(file.data() + 56, &header, sizeof header);
  return file;
}

TEST(TokenFile, CountsOffsetsAndIdsAreCheckedWhateverTheChecksumsSay) {
  TemporaryFolder folder;
  WriteDocuments(folder.File("a"), {{1, 2, 3}, {4}});
  const std::string good = folder.Read("a");
  const auto refused = [&](const std::string& file, const std::string& words) {
    EXPECT_REFUSED(TokenFile::Open(folder.Write("bad", file)), words);
  };
  constexpr size_t kDocuments = 24, kTokens = 32, kIds = 64, kOffsets = 80;
  const auto count = [&](size_t at, int64_t value) {
    return Crafted<int64_t>(good, {{at, value}});
  };
  EXPECT_EQ(count(kDocuments, 2), good);
  refused(count(kTokens, int64_t{1} << 62), "a vocabulary of 1000, which cannot be");
  refused(count(kTokens, int64_t{1} << 55), "is cut short");
  refused(count(kTokens, -4), "-4 tokens");
  refused(count(kDocuments, -1), "-1 documents");
  refused(count(kDocuments, INT64_MAX), "9223372036854775807 documents");
  refused(Crafted<int32_t>(good, {{12, 0}}), "a vocabulary of 0");
  // The same number of bytes: two tokens fewer are one offset more.
  refused(Crafted<int64_t>(good, {{kDocuments, 3}, {kTokens, 2}}), "its documents are tokens");
  refused(count(kOffsets, 1), "its documents are tokens 1 to 4, expected 0 to 4");
  refused(count(kOffsets + 16, 5), "its documents are tokens 0 to 5, expected 0 to 4");
  refused(count(kOffsets + 8, int64_t{1} << 40), "document 1 begins at token 1099511627776");
  refused(count(kOffsets + 8, -1), "document 0 begins at token 0 and ends at token -1");
  refused(count(kOffsets + 8, 0), "document 0 begins at token 0 and ends at token 0");
  refused(Crafted<int32_t>(good, {{kIds + 4, 1000}}), "token 1 has id 1000, expected 0 to 999");
  refused(Crafted<int32_t>(good, {{kIds + 12, -1}}), "token 3 has id -1, expected 0 to 999");
}

TEST(TokenFile, APipeIsRefusedWithoutAWait) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(TokenFile::Open(folder.File("pipe")), "it is a pipe, expected a regular file");
}

TEST(TokenFile, AFullDiskIsRefusedAndNothingStays) {
  TemporaryFolder folder;
  {
    const FullDisk full;
    EXPECT_REFUSED(WriteDocuments(folder.File("a"), {{1, 2, 3}}),
                   "cannot be written: File too large; free space");
  }
  EXPECT_TRUE(folder.IsEmpty());
}

TEST(TokenFile, ADiskThatFillsUpIsRefusedAndNothingStays) {
  TemporaryFolder folder;
  {
    const FullDisk full(3 << 20);
    EXPECT_REFUSED(WriteDocuments(folder.File("a"), Documents(10, std::vector<int32_t>(100000, 7))),
                   "bytes: File too large; free space or choose another place");
  }
  EXPECT_TRUE(folder.IsEmpty());
}

TEST(TokenFile, AFolderThatDoesNotExistIsRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(WriteDocuments(folder.File("no/a"), {{1}}), "cannot be created");
}

}  // namespace
}  // namespace treeformer::datasets
