#include "datasets/input_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/datasets/read_documents.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Names(const InputFiles& inputs) {
  std::vector<std::string> names;
  for (const InputFile& file : inputs.files) names.push_back(fs::path(file.path).filename());
  return names;
}

TEST(InputFiles, HiddenFilesAndFoldersAreLeftOut) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one");
  folder.Write("._a.txt", "resource fork");
  folder.Write(".ipynb_checkpoints/a.txt", "one, older");
  const InputFiles inputs = ListInputFiles({folder.path()});
  EXPECT_EQ(Names(inputs), (std::vector<std::string>{"a.txt"}));
  EXPECT_EQ(inputs.left_out, "left out: 2 hidden (._a.txt, .ipynb_checkpoints)");
  folder.Write(".hidden/b.txt", "named by the user");
  EXPECT_EQ(Names(ListInputFiles({folder.File(".hidden")})), (std::vector<std::string>{"b.txt"}));
}

TEST(InputFiles, FilesOfOtherSuffixesAreCountedAndTheFirstNamed) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one");
  EXPECT_EQ(ListInputFiles({folder.path()}).left_out, "");
  for (const char* name : {"B.TXT", "c.ndjson", "deep/d.txt.gz", "e.md"}) folder.Write(name, "x");
  EXPECT_EQ(ListInputFiles({folder.path()}).left_out,
            "left out: 4 of other suffixes (B.TXT, c.ndjson, deep/d.txt.gz, ...)");
  EXPECT_REFUSED(ListInputFiles({folder.File("deep")}),
                 "holds no text (left out: 1 of other suffixes (d.txt.gz)), expected a .txt");
}

TEST(InputFiles, ANamedFileOfAnotherFormatIsRefused) {
  TemporaryFolder folder;
  folder.Write("x.txt.gz", "x");
  folder.Write("x.tar.zst", "x");
  folder.Write("x.md", "x");
  EXPECT_REFUSED(ListInputFiles({folder.File("x.txt.gz")}),
                 "x.txt.gz: files that end in .gz are not read, expected a .txt or .jsonl file");
  EXPECT_REFUSED(ListInputFiles({folder.File("x.*")}), "files that end in .tar are not read");
  EXPECT_EQ(Names(ListInputFiles({folder.File("x.md")})), (std::vector<std::string>{"x.md"}));
}

TEST(InputFiles, ALinkThatLeadsBackIsRefusedInOneShortSentence) {
  TemporaryFolder folder;
  folder.Write("a/b/c.txt", "one");
  fs::create_directory_symlink(folder.File("a"), folder.File("other"));
  EXPECT_EQ(ListInputFiles({folder.path()}).files.size(), 2u);
  fs::create_directory_symlink("..", folder.File("a/b/back"));
  EXPECT_REFUSED(ListInputFiles({folder.File("a")}),
                 "link " + folder.File("a/b/back") + " leads back to " + folder.File("a"));
  fs::create_symlink("self.txt", folder.File("self.txt"));
  EXPECT_REFUSED(ListInputFiles({folder.File("self.txt")}), "cannot be read: Too many levels");
}

TEST(InputFiles, BrokenLinksAndPipesOfAFolderAreLeftOutAndNamed) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one");
  fs::create_symlink("nowhere", folder.File("b.txt"));
  ASSERT_EQ(mkfifo(folder.File("c.txt").c_str(), 0600), 0);
  EXPECT_EQ(ListInputFiles({folder.path()}).left_out,
            "left out: 2 broken links or no regular files (b.txt, c.txt)");
}

TEST(InputFiles, ADeviceIsRefused) {
  EXPECT_REFUSED(ListInputFiles({"/dev/zero"}), "/dev/zero is a device or a socket, expected");
}

TEST(InputFiles, APipeIsReadOnceAndItsSizeIsUnknown) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(folder.File("pipe.jsonl").c_str(), 0600), 0);
  const auto write = [&](const char* name, const std::string& text) {
    return std::thread([path = folder.File(name), text] { std::ofstream(path) << text; });
  };
  std::thread plain = write("pipe", "one\ntwo\n"), json = write("pipe.jsonl", "{\"text\": \"x\"}");
  const TextSourceOptions options{.inputs = {folder.File("pipe"), folder.File("pipe.jsonl")},
                                  .document = DocumentUnit::kLine};
  EXPECT_EQ(TextSource(options).total_bytes(), 0);
  EXPECT_EQ(ReadDocuments(options), (Documents{"one\n", "two\n", "x"}));
  plain.join();
  json.join();
}

TEST(InputFiles, APipeGivesNoPlainTextOfWhichBadDocumentsCanBeSkipped) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.File("pipe")}, .skip_bad_documents = true}),
                 "pipe is a pipe, of which bad documents cannot be skipped");
}

// Opened as files are, it would be waited for without end.
TEST(InputFiles, APipeThatNobodyWritesIntoIsGivenUp) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.File("pipe")}}),
                 "pipe is a pipe that no program writes into");
}

TEST(InputFiles, AFolderWithOddFilesGivesItsTextAndNamesTheRest) {
  const std::string path = "../shared/faults/inputs/24_folder_with_odd_files";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is absent";
  const InputFiles inputs = ListInputFiles({path});
  EXPECT_EQ(Names(inputs), (std::vector<std::string>{"a.txt"}));
  EXPECT_EQ(inputs.left_out,
            "left out: 3 of other suffixes (B.TXT, c.ndjson, d.txt.gz), "
            "2 hidden (._a.txt, .ipynb_checkpoints)");
}

}  // namespace
}  // namespace treeformer::datasets
