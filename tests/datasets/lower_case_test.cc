#include "datasets/lower_case.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdio>
#include <string>

namespace treeformer::datasets {
namespace {

constexpr char32_t kSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2;

TEST(LowerCase, ASigmaIsFinalAfterALetterAndBeforeNone) {
  EXPECT_EQ(LowerCase(U"\u0391\u03A3", 1), kFinalSigma);
  EXPECT_EQ(LowerCase(U"\u03A3\u0391", 0), kSmallSigma);
  EXPECT_EQ(LowerCase(U"\u03A3", 0), kSmallSigma);
  EXPECT_EQ(LowerCase(U"\u0391\u03A3\u0391", 1), kSmallSigma);
  EXPECT_EQ(LowerCase(U"\u0391\u03A3\u0387\u0391", 1), kSmallSigma);  // ano teleia is ignored
  EXPECT_EQ(LowerCase(U"\u0391\u03A3\u0387", 1), kFinalSigma);
  EXPECT_EQ(LowerCase(U"\u2160\u03A3", 1), kFinalSigma);  // a Roman numeral is cased
  EXPECT_EQ(LowerCase(U"\u0391\u03A3\u24D0", 1), kSmallSigma);
  EXPECT_EQ(LowerCase(U"\u02B0\u03A3", 1), kSmallSigma);  // cased, but ignored first
}

// A line per code point: is a sigma small between it and a letter, is one final after it.
constexpr char kPython[] = R"(python3 -c "
import sys, unicodedata
sigma, letter = chr(0x3A3), chr(0x391)
for c in map(chr, range(0x110000)):
    small = (letter + sigma + c + letter).lower()[1] == chr(0x3C3)
    final = (c + sigma).lower()[-1] == chr(0x3C2)
    print('-' if unicodedata.category(c) in ('Cn', 'Cs') else 2 * small + final)
" 2>/dev/null)";

TEST(LowerCase, ASigmaBesideEveryCodePointIsAsPythonHasIt) {
  FILE* python = popen(kPython, "r");
  ASSERT_NE(python, nullptr);
  char line[8];
  char32_t c = 0;
  int compared = 0;
  for (; fgets(line, sizeof line, python) != nullptr; ++c) {
    if (line[0] == '-' || utf8proc_category(c) == UTF8PROC_CATEGORY_CN) continue;
    ++compared;
    const bool small = LowerCase(std::u32string{0x391, kSigma, c, 0x391}, 1) == kSmallSigma;
    const bool final = LowerCase(std::u32string{c, kSigma}, 1) == kFinalSigma;
    ASSERT_EQ(2 * small + final, line[0] - '0') << std::hex << static_cast<uint32_t>(c);
  }
  pclose(python);
  if (c == 0) GTEST_SKIP() << "no python3 to compare with";
  EXPECT_EQ(c, 0x110000u);
  EXPECT_GT(compared, 140'000);
}

}  // namespace
}  // namespace treeformer::datasets
