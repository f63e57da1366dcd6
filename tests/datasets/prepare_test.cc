#include "datasets/prepare.h"

#include <gtest/gtest.h>

#include <random>

#include "datasets/token_file.h"
#include "datasets/tokenizer.h"
#include "tests/datasets/full_disk.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

Vocabulary SmallVocabulary() {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?"};
  for (char c = 'a'; c <= 'y'; ++c) {  // 'z' is unknown
    tokens.push_back(std::string(1, c));
    tokens.push_back("##" + std::string(1, c));
  }
  return Vocabulary(tokens, "small");
}

std::string RandomText(int words, unsigned seed) {
  std::mt19937 engine(seed);
  std::string text;
  for (int i = 0; i < words; ++i) {
    for (unsigned letters = engine() % 7 + 1; letters > 0; --letters) {
      text += static_cast<char>('a' + engine() % 26);
    }
    text += engine() % 9 == 0 ? ".\n" : " ";
  }
  return text;
}

PrepareOptions Options(const TemporaryFolder& folder) {
  PrepareOptions options;
  options.text.inputs = {folder.File("text")};
  options.output = folder.File("training.tokens");
  options.threads = 2;
  return options;
}

TEST(Prepare, TheTokensAreThoseOfTheTokenizerOnTheWholeDocument) {
  TemporaryFolder folder;
  const Vocabulary vocabulary = SmallVocabulary();
  const std::vector<std::string> texts{RandomText(3000, 1), RandomText(7, 2), RandomText(500, 3)};
  for (size_t i = 0; i < texts.size(); ++i) {
    folder.Write("text/" + std::to_string(i) + ".txt", texts[i]);
  }
  PrepareOptions options = Options(folder);
  options.text.block_bytes = 1000;
  const PrepareStatistics statistics = Prepare(vocabulary, options);
  const TokenFile file = TokenFile::Open(options.output, vocabulary.hash());
  ASSERT_EQ(file.documents(), 3);
  int64_t unknown = 0, bytes = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> expected;
    Tokenizer(vocabulary, /*lower_case=*/true).Encode(texts[i], &expected);
    const auto document = file.Document(i);
    EXPECT_EQ(std::vector<int32_t>(document.begin(), document.end()), expected);
    unknown += std::count(expected.begin(), expected.end(), vocabulary.unknown());
    bytes += texts[i].size();
  }
  EXPECT_EQ(statistics.documents, 3);
  EXPECT_EQ(statistics.tokens, file.tokens());
  EXPECT_EQ(statistics.unknown_tokens, unknown);
  EXPECT_EQ(statistics.text_bytes, bytes);
}

TEST(Prepare, TheFilesAreTheSameForEveryNumberOfThreads) {
  TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) {
    folder.Write("text/" + std::to_string(i) + ".txt", RandomText(37 * i * i, i));
  }
  PrepareOptions options = Options(folder);
  options.text.block_bytes = 500;
  options.held_out_output = folder.File("held_out.tokens");
  options.held_out_fraction = 0.1;
  std::string training, held_out;
  for (const int threads : {1, 2, 3, 8}) {
    options.threads = threads;
    Prepare(SmallVocabulary(), options);
    if (threads == 1) training = folder.Read("training.tokens");
    if (threads == 1) held_out = folder.Read("held_out.tokens");
    EXPECT_EQ(folder.Read("training.tokens"), training) << threads;
    EXPECT_EQ(folder.Read("held_out.tokens"), held_out) << threads;
  }
}

TEST(Prepare, CountsWhatItLeavesOutAndReplaces) {
  TemporaryFolder folder;
  folder.Write("text/a.txt", "one\n\n \t\ntwo \xFF\n\xFF\n");
  PrepareOptions options = Options(folder);
  options.text.document = DocumentUnit::kLine;
  options.text.replace_invalid_utf8 = true;
  const PrepareStatistics statistics = Prepare(SmallVocabulary(), options);
  EXPECT_EQ(statistics.documents, 2);
  EXPECT_EQ(statistics.empty_documents, 3);
  EXPECT_EQ(statistics.text.replaced_sequences, 2);
  EXPECT_EQ(statistics.tokens, 6);
}

TEST(Prepare, ProgressGrowsToTheTotal) {
  TemporaryFolder folder;
  const std::string text = RandomText(2000, 1);
  folder.Write("text/a.txt", text);
  PrepareOptions options = Options(folder);
  options.text.block_bytes = 1000;
  int64_t last = 0, calls = 0;
  Prepare(SmallVocabulary(), options, [&](int64_t bytes_read, int64_t total_bytes) {
    EXPECT_GE(bytes_read, last);
    EXPECT_EQ(total_bytes, std::ssize(text));
    last = bytes_read;
    ++calls;
  });
  EXPECT_EQ(last, std::ssize(text));
  EXPECT_GT(calls, 5);
}

TEST(Prepare, HeldOutAndTrainingTokensAreAllTokens) {
  TemporaryFolder folder;
  folder.Write("text/a.txt", RandomText(3000, 1));
  folder.Write("text/b.txt", RandomText(3000, 2));
  PrepareOptions options = Options(folder);
  const int64_t all = Prepare(SmallVocabulary(), options).tokens;
  options.held_out_output = folder.File("held_out.tokens");
  options.held_out_fraction = 0.1;
  const PrepareStatistics statistics = Prepare(SmallVocabulary(), options);
  EXPECT_EQ(TokenFile::Open(options.output).tokens() + statistics.held_out_tokens, all);
  EXPECT_EQ(TokenFile::Open(options.held_out_output).tokens(), statistics.held_out_tokens);
  EXPECT_EQ(statistics.held_out_documents, 2);
  EXPECT_NEAR(statistics.held_out_tokens, 0.1 * all, 2 * 7);  // a word of 7 letters a document
}

TEST(Prepare, WhatCannotBeDoneIsRefusedAndLeavesNothing) {
  TemporaryFolder folder, text;
  const auto prepare = [&](const std::string& contents, const std::string& held_out,
                           double fraction) {
    PrepareOptions options = Options(folder);
    options.text.inputs = {text.Write("a.txt", contents)};
    if (!held_out.empty()) options.held_out_output = folder.File(held_out);
    options.held_out_fraction = fraction;
    Prepare(SmallVocabulary(), options);
  };
  EXPECT_REFUSED(prepare(" \n", "", 0.01), "the input holds no text: all of its 1 documents");
  EXPECT_REFUSED(prepare("few words", "h", 0.01), "nothing can be held out: held_out_fraction");
  EXPECT_REFUSED(prepare("x", "h", 0.6), "held_out_fraction is 0.6, expected 0.0001 to 0.5");
  EXPECT_REFUSED(prepare("x", "training.tokens", 0.1), "are both");
  EXPECT_REFUSED(prepare(RandomText(300000, 1) + "\xFF", "", 0.1), "invalid UTF-8");
  EXPECT_TRUE(folder.IsEmpty());
}

TEST(Prepare, AFullDiskIsRefused) {
  TemporaryFolder folder, output;
  folder.Write("text/a.txt", RandomText(300000, 1));
  PrepareOptions options = Options(folder);
  options.output = output.File("a");
  {
    const FullDisk full(1000);
    EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "File too large; free space");
  }
  EXPECT_TRUE(output.IsEmpty());
}

TEST(Prepare, AFullDiskAtTheEndLeavesNeitherFile) {
  TemporaryFolder folder, output;
  folder.Write("text/a.txt", RandomText(1000, 1));  // less than is buffered: written last
  PrepareOptions options = Options(folder);
  options.held_out_output = output.File("held_out");
  options.held_out_fraction = 0.5;
  options.output = output.File("training");
  {
    const FullDisk full;
    EXPECT_REFUSED(Prepare(SmallVocabulary(), options), " cannot be written: ");
  }
  EXPECT_TRUE(output.IsEmpty());
}

TEST(Prepare, ItsInputIsNeverReplaced) {
  const TemporaryFolder folder;
  const std::string text = folder.Write("text/a.txt", RandomText(50, 1));
  PrepareOptions options = Options(folder);
  options.output = folder.File("text/../text/a.txt");
  EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "is the input");
  options = Options(folder);
  options.held_out_output = text;
  EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "is the input");
  options.held_out_output = folder.File("./training.tokens");
  EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "expected two files");
  options.held_out_output = folder.File("training.tokens") + kUnfinishedSuffix;
  EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "expected two files");
  for (const std::string base : {"o", "o.offsets"}) {
    const std::string aside = base + kUnfinishedSuffix;
    options = Options(folder);
    options.output = folder.File("o");
    options.text.inputs = {folder.Write(aside, "a text of a strange name")};
    EXPECT_REFUSED(Prepare(SmallVocabulary(), options), "is the input");
    EXPECT_EQ(folder.Read(aside), "a text of a strange name");
  }
  EXPECT_EQ(folder.Read("text/a.txt"), RandomText(50, 1));
  EXPECT_FALSE(std::filesystem::exists(folder.File("training.tokens") + kUnfinishedSuffix));
}

}  // namespace
}  // namespace treeformer::datasets
