#include "datasets/decomposition.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <random>
#include <vector>

namespace treeformer::datasets {
namespace {

std::u32string Decomposed(const std::u32string& text) {
  std::u32string decomposed;
  Decompose(text, &decomposed);
  return decomposed;
}

// utf8proc's own, which takes quadratic time for long runs of marks.
std::u32string Reference(const std::u32string& text) {
  std::u32string decomposed;
  for (const char32_t c : text) {
    utf8proc_int32_t parts[4];
    int boundary = 0;
    const auto count = utf8proc_decompose_char(c, parts, 4, UTF8PROC_DECOMPOSE, &boundary);
    decomposed.append(parts, parts + count);
  }
  const auto rank = [](char32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (size_t i = 1; i < decomposed.size(); ++i) {  // canonical ordering: exchange neighbours
    for (size_t j = i; j > 0 && rank(decomposed[j]) != 0; --j) {
      if (rank(decomposed[j - 1]) <= rank(decomposed[j])) break;
      std::swap(decomposed[j - 1], decomposed[j]);
    }
  }
  return decomposed;
}

TEST(Decomposition, EveryCodePointDecomposesAsInItsDefinition) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    ASSERT_EQ(Decomposed({c}), Reference({c})) << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Decomposition, MarksAreOrderedByClassAndStayInOrderWithinOne) {
  EXPECT_EQ(Decomposed(U"a\u0301\u0323\u0300"), U"a\u0323\u0301\u0300");
  EXPECT_EQ(Decomposed(U"\u1E69"), U"s\u0323\u0307");
  EXPECT_EQ(Decomposed(U"\u0301\u034F\u0323"), U"\u0301\u034F\u0323");  // class 0 separates
  std::vector<char32_t> alphabet{U'a', U'\u00C5', U'\uD55C', U'\u034F'};
  for (char32_t c = 0x300; c < 0x20000; ++c) {
    if (utf8proc_get_property(c)->combining_class != 0) alphabet.push_back(c);
  }
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::u32string text(random() % 40, U' ');
    for (char32_t& c : text) c = alphabet[random() % (round % 2 ? alphabet.size() : 12)];
    ASSERT_EQ(Decomposed(text), Reference(text));
  }
}

// In quadratic time this would take minutes.
TEST(Decomposition, AMillionMarksInTheWorstOrderAreSorted) {
  std::u32string text;
  for (int i = 0; i < 500'000; ++i) text += U"\u0301\u0323";
  const std::u32string decomposed = Decomposed(text);
  EXPECT_EQ(decomposed, std::u32string(500'000, U'\u0323') + std::u32string(500'000, U'\u0301'));
}

}  // namespace
}  // namespace treeformer::datasets
