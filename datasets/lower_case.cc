#include "datasets/lower_case.h"

#include <utf8proc.h>

namespace treeformer::datasets {
namespace {

// Derived property Cased, of what is not Case_Ignorable too.
bool IsCased(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) return true;
  return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) ||  // ordinals, Roman numerals
         (c >= 0x24B6 && c <= 0x24E9) ||                            // circled letters
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

// Derived property Case_Ignorable.
bool IsCaseIgnorable(char32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:  // Word_Break is MidLetter, MidNumLet or Single_Quote
      return std::u32string_view(
                 U"'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027"
                 U"\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A")
                 .find(c) != std::u32string_view::npos;
  }
}

// A cased letter before, none after.
bool IsFinal(std::u32string_view word, size_t i) {
  size_t before = i, after = i + 1;
  while (before > 0 && IsCaseIgnorable(word[before - 1])) --before;
  while (after < word.size() && IsCaseIgnorable(word[after])) ++after;
  return before > 0 && IsCased(word[before - 1]) && !(after < word.size() && IsCased(word[after]));
}

}  // namespace

char32_t LowerCase(std::u32string_view word, size_t i) {
  constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
  if (word[i] == kCapitalSigma && IsFinal(word, i)) return kFinalSigma;
  return utf8proc_tolower(word[i]);
}

}  // namespace treeformer::datasets
