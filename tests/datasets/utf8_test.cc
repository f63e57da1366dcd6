#include "datasets/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace treeformer::datasets {
namespace {

TEST(Utf8, EveryCodePointIsReadBackAsWritten) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    ASSERT_EQ(ValidUtf8Prefix(text), text.size()) << static_cast<uint32_t>(c);
    size_t offset = 0;
    ASSERT_EQ(NextCodePoint(text, &offset), c);
    ASSERT_EQ(offset, text.size());
  }
}

TEST(Utf8, OverlongFormsSurrogatesAndHighCodePointsAreInvalid) {
  for (const std::string text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82("}) {
    EXPECT_EQ(FirstSequence(text).kind, Utf8Sequence::kInvalid) << testing::PrintToString(text);
    EXPECT_EQ(ValidUtf8Prefix("12345678" + text), 8u);
  }
}

// The example of the Unicode standard, table 3-8: each maximal subpart by itself.
TEST(Utf8, AnInvalidSequenceIsItsMaximalSubpart) {
  std::string_view text = "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41";
  std::vector<size_t> bytes;
  for (; !text.empty(); text.remove_prefix(bytes.back())) {
    bytes.push_back(FirstSequence(text).bytes);
  }
  EXPECT_EQ(bytes, (std::vector<size_t>{2, 1, 3, 2, 1}));
}

TEST(Utf8, ASequenceCutShortIsIncomplete) {
  for (const std::string text : {"\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    EXPECT_EQ(FirstSequence(text).kind, Utf8Sequence::kIncomplete);
    EXPECT_EQ(FirstSequence(text).bytes, text.size());
  }
}

TEST(Utf8, TheValidPrefixIsFoundAtEveryAlignment) {
  for (size_t ascii = 0; ascii < 40; ++ascii) {
    const std::string valid = std::string(ascii, 'a') + "\xC3\xA9";
    EXPECT_EQ(ValidUtf8Prefix(valid + "\xFFzzzzzzzzzzzzzzz"), valid.size());
  }
}

}  // namespace
}  // namespace treeformer::datasets
