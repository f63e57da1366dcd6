// Files as streams of text: zstd frames of every kind, and what is no text.

#include "datasets/text_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/datasets/read_documents.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

TEST(TextReader, DamagedCompressionIsRefused) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += std::to_string(i * 7919);
  const std::string good = CompressZstd(text);
  folder.Write("a.txt.zst", good.substr(0, good.size() / 2));
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}),
                 "is cut short: it ends inside a zstd frame");
  folder.Write("a.txt.zst", good + good.substr(0, 3));
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}), "is cut short");
  folder.Write("a.txt.zst", "this is not zstd");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}), "is not a sound zstd file");
}

// `zstd -t` calls it broken too.
TEST(TextReader, AnEmptyCompressedFileIsRefused) {
  TemporaryFolder folder;
  folder.Write("a.txt.zst", "");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}),
                 "a.txt.zst is empty, expected at least one zstd frame");
  folder.Write("a.txt.zst", CompressZstd(""));
  EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}}), (Documents{""}));
}

TEST(TextReader, SkippableFramesAreSkipped) {
  TemporaryFolder folder;
  const std::string skippable("\x53\x2A\x4D\x18\x05\0\0\0hello", 13);
  folder.Write("a.txt.zst",
               skippable + CompressZstd("one ") + skippable + CompressZstd("two") + skippable);
  folder.Write("b.txt.zst", skippable);
  for (const int64_t bytes : kBlockBytes) {
    EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}, .block_bytes = bytes}),
              (Documents{"one two", ""}));
  }
  folder.Write("b.txt.zst", skippable.substr(0, 10));
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}), "b.txt.zst is cut short");
}

// libzstd by itself stops at 2^27.
TEST(TextReader, LargeWindowsAreDecodedUpToTheLimit) {
  TemporaryFolder folder;
  for (const int window_log : {27, 28, 30}) {
    folder.Write("a.txt.zst", CompressZstdLong("good morning", window_log));
    EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}}), (Documents{"good morning"}));
    EXPECT_REFUSED(
        ReadDocuments({.inputs = {folder.path()}, .zstd_window_log = window_log - 1}),
        "a.txt.zst holds a zstd frame whose window takes more memory than zstd_window_log " +
            std::to_string(window_log - 1) + " allows");
  }
}

TEST(TextReader, TheWindowOfALongRunOfZstdIsDecoded) {
  const std::string path = "../shared/faults/inputs/13_long_window.txt.zst";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  EXPECT_EQ(ReadDocuments({.inputs = {path}}), (Documents{"good morning to all of you\n"}));
}

TEST(TextReader, WhatBeginsAsAnotherFormatIsRefusedByName) {
  TemporaryFolder folder;
  const auto read = [&](const std::string& bytes) {
    folder.Write("a.txt", bytes);
    ReadDocuments({.inputs = {folder.path()}, .replace_invalid_utf8 = true});
  };
  EXPECT_REFUSED(read("\x1F\x8B\x08 packed"), "a.txt is no text: it begins as gzip");
  EXPECT_REFUSED(read("PK\x03\x04 packed"), "it begins as zip");
  EXPECT_REFUSED(read(CompressZstd("text")), "it begins as zstd, whose name must end in .zst");
  EXPECT_REFUSED(read("\x7F"
                      "ELF program"),
                 "it begins as ELF, a program");
  EXPECT_REFUSED(read(std::string("\xFF\xFEh\0i\0", 6)), "it begins as UTF-16");
  EXPECT_REFUSED(read(std::string("h\0i\0", 4)), "a.txt is no text: byte 1 is NUL");
  folder.Write("a.txt", "");
  folder.Write("b.txt.zst", CompressZstd("\x1F\x8B\x08 packed"));
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}), "b.txt.zst is no text");
}

TEST(TextReader, TextOfWhichTooMuchIsInvalidIsRefused) {
  TemporaryFolder folder;
  const auto read = [&](double share) {
    std::mt19937 engine(1);
    std::string text;
    for (int i = 0; i < 20000; ++i) text += engine() < share * 0x1p32 ? '\xE9' : 'e';
    folder.Write("a.txt", text);
    TextReport report;
    ReadDocuments({.inputs = {folder.path()}, .replace_invalid_utf8 = true}, &report);
    return report.replaced_sequences;
  };
  EXPECT_GT(read(0.1), 1000);
  EXPECT_REFUSED(read(0.4), "a.txt is no text: of its first 20000 bytes");
  folder.Write("a.txt", std::string(10000, 'e') + std::string(10000, '\0'));  // holes of a crash
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}),
                 "a.txt is no text: of its first 20000 bytes 10000 are invalid UTF-8 or NUL");
}

}  // namespace
}  // namespace treeformer::datasets
