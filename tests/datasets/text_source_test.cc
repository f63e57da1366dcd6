#include "datasets/text_source.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "tests/datasets/temporary_folder.h"

namespace datasets {
namespace {

using Documents = std::vector<std::string>;

std::string Compress(const std::string& text) {
  std::string compressed(ZSTD_compressBound(text.size()), '\0');
  compressed.resize(
      ZSTD_compress(compressed.data(), compressed.size(), text.data(), text.size(), 3));
  return compressed;
}

// The documents, however they were cut into pieces; checks that progress ends at the total.
Documents Read(const TextSourceOptions& options) {
  TextSource source(options);
  Documents documents;
  TextBlock block;
  std::string document;
  while (source.Next(&block)) {
    EXPECT_EQ(block.pieces.back().end, block.text.size());
    for (size_t i = 0; i < block.pieces.size(); ++i) {
      document += block.Text(i);
      if (!block.pieces[i].ends_document) continue;
      documents.push_back(document);
      document.clear();
    }
  }
  EXPECT_EQ(document, "") << "a document without end";
  EXPECT_EQ(block.bytes_read, source.total_bytes());
  return documents;
}

// Block sizes that cut in every place, and one that cuts nowhere.
const std::vector<int64_t> kBlockBytes{1, 2, 3, 5, 7, 64, 1 << 18};

TEST(TextSource, AFolderGivesItsTextFilesInOrderOfTheirPaths) {
  TemporaryFolder folder;
  folder.Write("text/b.txt", "second");
  folder.Write("text/a/z.txt", "first");
  folder.Write("text/c.txt.zst", Compress("third"));
  folder.Write("text/d.jsonl", "{\"text\": \"fourth\"}\n");
  folder.Write("text/e.jsonl.zst", Compress("{\"text\": \"fifth\"}"));
  folder.Write("text/notes.md", "no text");
  EXPECT_EQ(Read({.inputs = {folder.File("text")}}),
            (Documents{"first", "second", "third", "fourth", "fifth"}));
}

TEST(TextSource, GlobsAndFilesGiveEachFileOnce) {
  TemporaryFolder folder;
  folder.Write("a1.txt", "1");
  folder.Write("a2.txt", "2");
  folder.Write("b", "a file without extension");
  EXPECT_EQ(Read({.inputs = {folder.File("b"), folder.File("a*.txt"), folder.File("a1.txt")}}),
            (Documents{"1", "2", "a file without extension"}));
}

TEST(TextSource, ADocumentMayBeAFile) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one\n\ntwo caf\u00E9 \U0001F333\n");
  folder.Write("b.txt", "");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(Read({.inputs = {folder.path()}, .block_bytes = bytes}),
              (Documents{"one\n\ntwo caf\u00E9 \U0001F333\n", ""}));
  }
}

TEST(TextSource, ADocumentMayBeALine) {
  TemporaryFolder folder;
  folder.Write("a.txt", "one two\n\nthr\u00E9e\r\nlast");
  folder.Write("b.txt", "next\n");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(
        Read({.inputs = {folder.path()}, .document = DocumentUnit::kLine, .block_bytes = bytes}),
        (Documents{"one two\n", "\n", "thr\u00E9e\r\n", "last", "next\n"}));
  }
}

TEST(TextSource, ADocumentMayStandBetweenBlankLines) {
  TemporaryFolder folder;
  folder.Write("a.txt", "\n\none\ntwo\n \t\r\n\nthree\n\nfour");
  folder.Write("b.txt", "five\n\n");
  folder.Write("c.txt", "\n\n");
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(Read({.inputs = {folder.path()},
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
    EXPECT_EQ(Read({.inputs = {folder.path()}, .json_field = "body", .block_bytes = bytes}),
              (Documents{"caf\u00E9\nnew", "", "last"}));
  }
}

TEST(TextSource, CompressedTextMayHaveManyFrames) {
  TemporaryFolder folder;
  const std::string text(300000, 'x');
  folder.Write("a.txt.zst", Compress("one ") + Compress(text) + Compress(" two"));
  for (const int64_t bytes : {5000, 1 << 18}) {
    EXPECT_EQ(Read({.inputs = {folder.path()}, .block_bytes = bytes}),
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
    EXPECT_REFUSED(Read({.inputs = {folder.path()}, .block_bytes = bytes}),
                   "a.txt, line 3, byte 9: invalid UTF-8 (0xE9)");
  }
  folder.Write("a.txt", "cut short \xE2\x82");
  EXPECT_REFUSED(Read({.inputs = {folder.path()}}), "line 1, byte 10: invalid UTF-8 (0xE2)");
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
    EXPECT_EQ(source.replaced_sequences(), 4);
  }
}

TEST(TextSource, MissingInputIsRefused) {
  TemporaryFolder folder;
  folder.Write("empty/notes.md", "no text");
  EXPECT_REFUSED(Read({}), "no input given, expected a .txt or .jsonl file");
  EXPECT_REFUSED(Read({.inputs = {folder.File("*.txt")}}), "*.txt' matches nothing");
  EXPECT_REFUSED(Read({.inputs = {folder.File("empty")}}), "empty' holds no text");
}

TEST(TextSource, BadJsonIsRefusedWithItsLine) {
  TemporaryFolder folder;
  const auto read = [&](const std::string& line) {
    folder.Write("a.jsonl", "{\"text\": \"good\"}\n\n" + line + "\n");
    Read({.inputs = {folder.path()}});
  };
  EXPECT_REFUSED(read("{\"text\": \"open"), "a.jsonl, line 3: not JSON: ");
  EXPECT_REFUSED(read("{\"body\": \"x\"}"), "line 3: the JSON object has no field 'text'");
  EXPECT_REFUSED(read("{\"text\": 5}"), "line 3: field 'text' is not a string");
  EXPECT_REFUSED(read("{\"text\": [\"x\"]}"), "line 3: field 'text' is not a string");
  EXPECT_REFUSED(read("[\"text\"]"), "line 3: expected a JSON object");
  EXPECT_REFUSED(read("\"text\""), "line 3: expected a JSON object");
}

TEST(TextSource, DamagedCompressionIsRefused) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += std::to_string(i * 7919);
  const std::string good = Compress(text);
  folder.Write("a.txt.zst", good.substr(0, good.size() / 2));
  EXPECT_REFUSED(Read({.inputs = {folder.path()}}), "is cut short: it ends inside a zstd frame");
  folder.Write("a.txt.zst", "this is not zstd");
  EXPECT_REFUSED(Read({.inputs = {folder.path()}}), "is not a sound zstd file");
}

}  // namespace
}  // namespace datasets
