#include "datasets/text_source.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/datasets/read_documents.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

TEST(TextSource, AFolderGivesItsTextFilesInOrderOfTheirPaths) {
  TemporaryFolder folder;
  folder.Write("text/b.txt", "second");
  folder.Write("text/a/z.txt", "first");
  folder.Write("text/c.txt.zst", CompressZstd("third"));
  folder.Write("text/d.jsonl", "{\"text\": \"fourth\"}\n");
  folder.Write("text/e.jsonl.zst", CompressZstd("{\"text\": \"fifth\"}"));
  folder.Write("text/notes.md", "no text");
  EXPECT_EQ(ReadDocuments({.inputs = {folder.File("text")}}),
            (Documents{"first", "second", "third", "fourth", "fifth"}));
}

TEST(TextSource, GlobsAndFilesGiveEachFileOnce) {
  TemporaryFolder folder;
  folder.Write("a1.txt", "1");
  folder.Write("a2.txt", "2");
  folder.Write("b", "a file without extension");
  EXPECT_EQ(
      ReadDocuments({.inputs = {folder.File("b"), folder.File("a*.txt"), folder.File("a1.txt")}}),
      (Documents{"1", "2", "a file without extension"}));
}

TEST(TextSource, ADocumentMayBeAFile) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one\n\ntwo caf\u00E9 \U0001F333\n");
  folder.Write("b.txt", "");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}, .block_bytes = bytes}),
              (Documents{"one\n\ntwo caf\u00E9 \U0001F333\n", ""}));
  }
}

TEST(TextSource, ADocumentMayBeALine) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one two\n\nthr\u00E9e\r\nlast");
  folder.Write("b.txt", "next\n");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(
        ReadDocuments(
            {.inputs = {folder.path()}, .document = DocumentUnit::kLine, .block_bytes = bytes}),
        (Documents{"one two\n", "\n", "thr\u00E9e\r\n", "last", "next\n"}));
  }
}

TEST(TextSource, ADocumentMayStandBetweenBlankLines) {
  TemporaryFolder folder;
  folder.Write("a.txt", "\n\none\ntwo\n \t\r\n\nthree\n\nfour");
  folder.Write("b.txt", "five\n\n");
  folder.Write("c.txt", "\n\n");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(ReadDocuments({.inputs = {folder.path()},
                             .document = DocumentUnit::kBlankLine,
                             .block_bytes = bytes}),
              (Documents{"one\ntwo\n \t\r\n", "three\n\n", "four", "five\n\n"}));
  }
}

TEST(TextSource, ADocumentMayBeAFieldOfJson) {
  TemporaryFolder folder;
  folder.Write("a.jsonl",
               "{\"id\": 1, \"body\": \"caf\\u00e9\\nnew\", \"more\": {\"body\": \"inner\"}}\n"
               "\n"
               "{\"body\": \"\"}\n"
               "{\"list\": [\"body\", {\"x\": null}], \"body\": \"last\"}");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(
        ReadDocuments({.inputs = {folder.path()}, .json_field = "body", .block_bytes = bytes}),
        (Documents{"caf\u00E9\nnew", "", "last"}));
  }
}

TEST(TextSource, CompressedTextMayHaveManyFrames) {
  TemporaryFolder folder;
  const std::string text(300000, 'x');
  folder.Write("a.txt.zst", CompressZstd("one ") + CompressZstd(text) + CompressZstd(" two"));
  for (const int64_t bytes : {5000, 1 << 18}) {
    EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}, .block_bytes = bytes}),
              (Documents{"one " + text + " two"}));
  }
}

// Two megabytes without white space: cut, between code points, and the blocks stay bounded.
TEST(TextSource, TextWithoutSpacesIsCutBetweenCodePoints) {
  TemporaryFolder folder;
  std::string text = "x";
  for (int i = 0; i < 700000; ++i) text += "\u6797";
  folder.Write("a.txt", text);
  TextSource source({.inputs = {folder.path()}, .document = DocumentUnit::kLine});
  TextBlock block;
  std::string all;
  while (source.Next(&block)) {
    EXPECT_LT(block.text.size(), 2u << 20);
    EXPECT_NE(block.text.front() & 0xC0, 0x80);
    all += block.text;
  }
  EXPECT_EQ(all, text);
}

TEST(TextSource, InvalidUtf8IsRefusedWithItsPlace) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one\ntwo\nb\xE9 d\n");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}, .block_bytes = bytes}),
                   "a.txt, line 3, byte 9: invalid UTF-8 (0xE9)");
  }
  folder.Write("a.txt", "cut short \xE2\x82");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}),
                 "line 1, byte 10: invalid UTF-8 (0xE2)");
}

TEST(TextSource, InvalidUtf8IsReplacedAndCountedIfAsked) {
  TemporaryFolder folder;
  folder.Write("a.txt", "b\xE9 d \xE1\x80\xE2\n\xF0\x9F\x98");
  for (const int64_t bytes : kBlockBytes) {
    TextSource source(
        {.inputs = {folder.path()}, .replace_invalid_utf8 = true, .block_bytes = bytes});
    TextBlock block;
    std::string all;
    while (source.Next(&block)) all += block.text;
    EXPECT_EQ(all, "b\uFFFD d \uFFFD\uFFFD\n\uFFFD");
    EXPECT_EQ(source.report().replaced_sequences, 4);
  }
}

TEST(TextSource, MissingInputIsRefused) {
  TemporaryFolder folder;
  folder.Write("empty/notes.md", "no text");
  EXPECT_REFUSED(ReadDocuments({}), "no input given, expected a .txt or .jsonl file");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.File("*.txt")}}), "*.txt' matches nothing");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.File("empty")}}), "empty' holds no text");
}

// What is skipped, and what tells of it.
TEST(TextSource, BadDocumentsOfPlainTextAreSkippedAndListedIfAsked) {
  TemporaryFolder folder;
  folder.Write("text/a.txt", "one\n\ntwo \xFF\nmore\n\n\xFEthree\n\nfour\n");
  folder.Write("text/b.txt", "five");
  const auto read = [&](DocumentUnit unit, int64_t bytes, TextReport* report) {
    return ReadDocuments({.inputs = {folder.File("text")},
                          .document = unit,
                          .skip_bad_documents = true,
                          .block_bytes = bytes},
                         report);
  };
  const std::string a = folder.File("text/a.txt");
  const std::string first = a + ", line 3, byte 9: invalid UTF-8 (0xFF)";
  const std::string second = a + ", line 6, byte 17: invalid UTF-8 (0xFE)";
  for (const int64_t bytes : kBlockBytes) {
    TextReport report;
    EXPECT_EQ(read(DocumentUnit::kFile, bytes, &report), (Documents{"five"}));
    EXPECT_EQ(report.first_bad, (Documents{first}));
    EXPECT_EQ(read(DocumentUnit::kLine, bytes, &report),
              (Documents{"one\n", "\n", "more\n", "\n", "\n", "four\n", "five"}));
    EXPECT_EQ(report.first_bad, (Documents{first, second}));
    EXPECT_EQ(read(DocumentUnit::kBlankLine, bytes, &report),
              (Documents{"one\n\n", "four\n", "five"}));
    EXPECT_EQ(report.first_bad, (Documents{first, second}));
    EXPECT_EQ(report.bad_documents, 2);
    EXPECT_EQ(report.replaced_sequences, 0);
  }
}

TEST(TextSource, OfManyBadDocumentsTheFirstAreListed) {
  TemporaryFolder folder;
  folder.Write("a.txt", "\xFF\n\xFF\xFF\n\xFF\n\xFF\n\xFF\n\xFF\n\xFF\ngood\n");
  TextReport report;
  EXPECT_EQ(
      ReadDocuments(
          {.inputs = {folder.path()}, .document = DocumentUnit::kLine, .skip_bad_documents = true},
          &report),
      (Documents{"good\n"}));
  EXPECT_EQ(report.bad_documents, 7);
  ASSERT_EQ(report.first_bad.size(), TextReport::kListed);
  EXPECT_NE(report.first_bad[4].find("a.txt, line 5, byte 9"), std::string::npos);
}

TEST(TextSource, ABinaryFileIsABadDocumentWhereDocumentsAreFiles) {
  TemporaryFolder folder;
  folder.Write("a.txt", "\x1F\x8B\x08 packed");
  folder.Write("b.txt", "good");
  TextReport report;
  EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}, .skip_bad_documents = true}, &report),
            (Documents{"good"}));
  EXPECT_EQ(report.bad_documents, 1);
  EXPECT_EQ(report.first_bad.front(),
            folder.File("a.txt") + " is no text: it begins as gzip; expected UTF-8");
  EXPECT_REFUSED(
      ReadDocuments(
          {.inputs = {folder.path()}, .document = DocumentUnit::kLine, .skip_bad_documents = true}),
      "it begins as gzip");
}

// A block is full of pieces before memory is.
TEST(TextSource, EmptyDocumentsFillABlockToo) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "{\"text\": \"\"}\n";
  folder.Write("a.jsonl", text);
  TextSource source({.inputs = {folder.path()}, .block_bytes = 100});
  TextBlock block;
  int64_t documents = 0;
  while (source.Next(&block)) {
    EXPECT_LE(block.pieces.size(), 100u);
    documents += std::ssize(block.pieces);
  }
  EXPECT_EQ(documents, 1000);
}

}  // namespace
}  // namespace treeformer::datasets
