#include "kernels/base/output_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "kernels/base/regular_file.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) {
  OutputFile file(path);
  file.Append(text.data(), std::ssize(text));
  file.Commit();
}

TEST(OutputFile, WithoutCommitTheOldFileStaysWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("a", "before");
  {
    OutputFile file(path);
    file.Append("after", 5);
    file.Sync();
    EXPECT_EQ(folder.Read("a"), "before");
  }
  EXPECT_EQ(folder.Read("a"), "before");
  EXPECT_FALSE(fs::exists(path + kUnfinishedSuffix));
}

TEST(OutputFile, ALinkPlantedAsItsTemporaryIsNotFollowed) {
  const TemporaryFolder folder;
  const std::string victim = folder.Write("victim", "precious");
  fs::create_symlink(victim, folder.File("a") + kUnfinishedSuffix);
  Write(folder.File("a"), "new");
  EXPECT_EQ(folder.Read("victim"), "precious");
  EXPECT_EQ(folder.Read("a"), "new");
  EXPECT_FALSE(fs::is_symlink(folder.File("a")));
}

TEST(OutputFile, WhatAKilledRunLeftIsReplaced) {
  const TemporaryFolder folder;
  folder.Write(std::string("a") + kUnfinishedSuffix, "half of a much longer file");
  folder.Write("a.tmp", "of another program");
  Write(folder.File("a"), "new");
  EXPECT_EQ(folder.Read("a"), "new");
  EXPECT_EQ(folder.Read("a.tmp"), "of another program");
  EXPECT_FALSE(fs::exists(folder.File("a") + kUnfinishedSuffix));
}

// The same process is refused too: a lock belongs to what was opened.
TEST(OutputFile, TheSecondWriterOfAFileIsRefusedAndDisturbsNothing) {
  const TemporaryFolder folder;
  const std::string path = folder.File("a");
  OutputFile first(path);
  first.Append("first", 5);
  EXPECT_REFUSED(OutputFile{path}, "is being written by another process");
  first.Commit();
  Write(path, "second");
  EXPECT_EQ(folder.Read("a"), "second");
}

// Where locks are not known, or another may not see ours.
TEST(OutputFile, WhatAnotherHasPutInItsPlaceIsNotNamed) {
  const TemporaryFolder folder;
  const std::string path = folder.File("a"), aside = path + kUnfinishedSuffix;
  {
    OutputFile file(path);
    fs::remove(aside);
    folder.Write(std::string("a") + kUnfinishedSuffix, "of another");
    EXPECT_REFUSED(file.Commit(), "another process has taken");
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(aside));
}

TEST(OutputFile, ALinkStaysAndItsTargetIsReplaced) {
  const TemporaryFolder folder;
  folder.Write("data/target", "old");
  fs::create_symlink("data/target", folder.File("link"));
  Write(folder.File("link"), "new");
  EXPECT_TRUE(fs::is_symlink(folder.File("link")));
  EXPECT_EQ(folder.Read("data/target"), "new");
  fs::create_symlink("circle", folder.File("circle"));
  EXPECT_REFUSED(Write(folder.File("circle"), ""), "leads back to itself");
}

TEST(OutputFile, DevicesPipesAndFoldersAreRefused) {
  const TemporaryFolder folder;
  const std::string pipe = folder.File("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_REFUSED(Write(pipe, ""), "is a pipe, expected the name of a file to write");
  EXPECT_REFUSED(Write("/dev/null", ""), "is a device");
  EXPECT_REFUSED(Write(folder.path(), ""), "is a folder");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(RefuseToReplaceInput, KnowsAFileUnderEveryName) {
  const TemporaryFolder folder;
  const std::string input = folder.Write("a/text.txt", "text");
  fs::create_symlink(input, folder.File("link"));
  fs::create_hard_link(input, folder.File("hard"));
  for (const std::string& output :
       {input, folder.File("a/../a/./text.txt"), folder.File("link"), folder.File("hard")}) {
    EXPECT_REFUSED(RefuseToReplaceInput(output, {"nowhere", input}), "is the input");
  }
  RefuseToReplaceInput(folder.File("new"), {input});
  RefuseToReplaceInput(folder.Write("other", "text"), {input});
}

TEST(RegularFile, IsReadAndNothingElseIs) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReadRegularFile(folder.Write("a", "text")), "text");
  EXPECT_REFUSED(ReadRegularFile(folder.File("a"), 3), "more than 3 bytes");
  EXPECT_REFUSED(ReadRegularFile(folder.path()), "it is a folder, expected a regular file");
  EXPECT_REFUSED(ReadRegularFile("/dev/zero"), "it is a device");
  EXPECT_REFUSED(ReadRegularFile(folder.File("nowhere")), "No such file");
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(ReadRegularFile(folder.File("pipe")), "it is a pipe");  // and nobody waits
}

}  // namespace
}  // namespace treeformer::datasets
