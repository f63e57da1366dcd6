#include "datasets/vocabulary.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/datasets/shared_data.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

const std::string kSpecials = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

TEST(Vocabulary, ALineIsAnId) {
  TemporaryFolder folder;
  const auto vocabulary = Vocabulary::Load(folder.Write("v", "x\n" + kSpecials + "##y\n"));
  EXPECT_EQ(vocabulary.size(), 7);
  EXPECT_EQ(vocabulary.Find("x"), 0);
  EXPECT_EQ(vocabulary.pad(), 1);
  EXPECT_EQ(vocabulary.unknown(), 2);
  EXPECT_EQ(vocabulary.cls(), 3);
  EXPECT_EQ(vocabulary.sep(), 4);
  EXPECT_EQ(vocabulary.mask(), 5);
  EXPECT_TRUE(vocabulary.IsSpecial(1) && vocabulary.IsSpecial(5) && !vocabulary.IsSpecial(6));
  EXPECT_TRUE(vocabulary.IsContinuation(6) && !vocabulary.IsContinuation(0));
  EXPECT_EQ(vocabulary.FindPiece("y", /*continuation=*/true), 6);
  EXPECT_EQ(vocabulary.FindPiece("y", /*continuation=*/false), Vocabulary::kNone);
}

TEST(Vocabulary, TheHashKnowsOrderAndTokensButNotLineEndings) {
  TemporaryFolder folder;
  const auto hash = [&](const std::string& contents) {
    return Vocabulary::Load(folder.Write("v", contents)).hash();
  };
  const uint64_t expected = hash(kSpecials + "a\nb\n");
  EXPECT_EQ(hash(kSpecials + "a\nb"), expected);
  EXPECT_EQ(hash("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\na\r\nb\r\n"), expected);
  EXPECT_NE(hash(kSpecials + "b\na\n"), expected);
  EXPECT_NE(hash(kSpecials + "a\nc\n"), expected);
  EXPECT_NE(hash(kSpecials + "a\nbc\n"), expected);
}

TEST(Vocabulary, SavesWhatItLoads) {
  TemporaryFolder folder;
  const std::string contents = kSpecials + "the\n##\xC3\xA9\n";
  Vocabulary::Load(folder.Write("v", contents)).Save(folder.File("w"));
  EXPECT_EQ(folder.Read("w"), contents);
}

TEST(Vocabulary, WhatCannotServeIsRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(Vocabulary::Load(folder.File("none")), "cannot be read: No such file");
  EXPECT_REFUSED(Vocabulary::Load(folder.path()), "cannot be read: it is a folder");
  EXPECT_REFUSED(Vocabulary::Load(folder.Write("v", "")), "v is empty");
  EXPECT_REFUSED(Vocabulary::Load(folder.Write("v", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")),
                 "has no token [MASK] among its 5");
  EXPECT_REFUSED(Vocabulary::Load(folder.Write("v", kSpecials + "\xFF\n")),
                 "line 6: invalid UTF-8");
}

// load_vocab of Hugging Face: vocab[line] = index, so that the last line of a token counts.
TEST(Vocabulary, OfATokenThatStandsTwiceTheLastLineCounts) {
  TemporaryFolder folder;
  const std::string contents = kSpecials + "a\n##b\n\nc\n\na\n##b\n";
  const auto vocabulary = Vocabulary::Load(folder.Write("v", contents));
  EXPECT_EQ(vocabulary.size(), 12);
  EXPECT_EQ(vocabulary.Find("a"), 10);
  EXPECT_EQ(vocabulary.FindPiece("b", /*continuation=*/true), 11);
  EXPECT_EQ(vocabulary.Find("c"), 8);
  EXPECT_EQ(vocabulary.Find(""), 9);
  vocabulary.Save(folder.File("w"));
  EXPECT_EQ(folder.Read("w"), contents);
  EXPECT_EQ(Vocabulary::Load(folder.Write("v", kSpecials + "[PAD]\n")).pad(), 5);
}

TEST(Vocabulary, AByteOrderMarkIsNoPartOfTheFirstToken) {
  TemporaryFolder folder;
  const auto marked = Vocabulary::Load(folder.Write("v", "\xEF\xBB\xBF" + kSpecials + "a\n"));
  EXPECT_EQ(marked.pad(), 0);
  EXPECT_EQ(marked.hash(), Vocabulary::Load(folder.Write("w", kSpecials + "a\n")).hash());
}

TEST(Vocabulary, WhatIsNoRegularFileOrHasNoEndIsRefusedWithoutAWait) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(Vocabulary::Load(folder.File("pipe")), "it is a pipe, expected a regular file");
  EXPECT_REFUSED(Vocabulary::Load("/dev/zero"), "it is a device, expected a regular file");
  folder.Write("large", "");
  std::filesystem::resize_file(folder.File("large"), (int64_t{1} << 30) + 1);  // a hole
  EXPECT_REFUSED(Vocabulary::Load(folder.File("large")), "more than 1073741824 bytes");
}

TEST(Vocabulary, BertBaseUncasedHasItsKnownIds) {
  const std::string path = SharedData("bert_vocab/vocab.txt");
  SKIP_WITHOUT(path);
  const auto vocabulary = Vocabulary::Load(path);
  EXPECT_EQ(vocabulary.size(), 30522);
  EXPECT_EQ(vocabulary.pad(), 0);
  EXPECT_EQ(vocabulary.unknown(), 100);
  EXPECT_EQ(vocabulary.cls(), 101);
  EXPECT_EQ(vocabulary.sep(), 102);
  EXPECT_EQ(vocabulary.mask(), 103);
}

}  // namespace
}  // namespace treeformer::datasets
