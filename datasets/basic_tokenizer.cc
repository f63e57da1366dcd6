#include "datasets/basic_tokenizer.h"

#include <glog/logging.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <limits>

#include "datasets/utf8.h"

namespace datasets {
namespace {

enum Class : uint8_t { kSpace, kLetter, kSymbol, kOther };  // kOther: controls, not ASCII

constexpr std::array<Class, 256> kClass = [] {
  std::array<Class, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    classes[c] = space ? kSpace : letter ? kLetter : c > ' ' && c < 0x7F ? kSymbol : kOther;
  }
  return classes;
}();

Class ClassOf(char c) { return kClass[static_cast<unsigned char>(c)]; }

bool IsRemoved(char32_t c) {
  if (c == 0 || c == kReplacementCharacter) return true;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return true;
    default:
      return false;
  }
}

bool IsSpace(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) return kClass[c] == kSymbol;
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsCjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsCased(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT;
}

bool IsCaseIgnorable(char32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019;
  }
}

// Unicode 15, section 3.13: a cased letter before, none after.
bool IsFinalSigma(std::u32string_view word, size_t i) {
  size_t before = i, after = i + 1;
  while (before > 0 && IsCaseIgnorable(word[before - 1])) --before;
  while (after < word.size() && IsCaseIgnorable(word[after])) ++after;
  return before > 0 && IsCased(word[before - 1]) && !(after < word.size() && IsCased(word[after]));
}

void EndWord(Words* words) {
  const uint32_t end = words->text.size();
  if (end > (words->ends.empty() ? 0 : words->ends.back())) words->ends.push_back(end);
}

}  // namespace

void BasicTokenizer::Tokenize(std::string_view text, Words* words) {
  CHECK_LT(text.size(), std::numeric_limits<uint32_t>::max() / 4);
  words->text.clear();
  words->ends.clear();
  size_t i = 0;
  while (i < text.size()) {
    if (ClassOf(text[i]) == kSpace) {
      ++i;
      continue;
    }
    const size_t begin = i, bytes = words->text.size(), count = words->ends.size();
    if (TokenizeAscii(text, &i, words)) continue;
    words->text.resize(bytes);
    words->ends.resize(count);
    while (i < text.size() && ClassOf(text[i]) != kSpace) ++i;
    TokenizeUnicode(text.substr(begin, i - begin), words);
  }
}

bool BasicTokenizer::TokenizeAscii(std::string_view text, size_t* offset, Words* words) const {
  for (; *offset < text.size(); ++*offset) {
    const char c = text[*offset];
    switch (ClassOf(c)) {
      case kSpace:
        EndWord(words);
        return true;
      case kLetter:
        words->text.push_back(lower_case_ && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        break;
      case kSymbol:
        EndWord(words);
        words->text.push_back(c);
        EndWord(words);
        break;
      case kOther:
        return false;
    }
  }
  EndWord(words);
  return true;
}

void BasicTokenizer::TokenizeUnicode(std::string_view text, Words* words) {
  Clean(text);
  const std::u32string_view cleaned = cleaned_;
  for (size_t begin = 0; begin < cleaned.size();) {
    const size_t end = std::min(cleaned.find(U' ', begin), cleaned.size());
    if (end > begin) AddWord(cleaned.substr(begin, end - begin), words);
    begin = end + 1;
  }
}

void BasicTokenizer::Clean(std::string_view text) {
  cleaned_.clear();
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, &i);
    if (c > ' ' && c < 0x7F) {
      cleaned_.push_back(c);
    } else if (IsRemoved(c)) {
      continue;
    } else if (IsSpace(c)) {
      cleaned_.push_back(U' ');
    } else if (IsCjk(c)) {
      cleaned_.append({U' ', c, U' '});
    } else {
      cleaned_.push_back(c);
    }
  }
}

void BasicTokenizer::AppendLower(std::u32string_view word, size_t i) {
  constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
  const char32_t c = word[i];
  const bool final_sigma = c == kCapitalSigma && IsFinalSigma(word, i);
  AppendUtf8(final_sigma ? kFinalSigma : utf8proc_tolower(c), &lowered_);
}

void BasicTokenizer::AddWord(std::u32string_view word, Words* words) {
  lowered_.clear();
  for (size_t i = 0; i < word.size(); ++i) {
    if (lower_case_) {
      AppendLower(word, i);
    } else {
      AppendUtf8(word[i], &lowered_);
    }
  }
  decomposed_.resize(4 * lowered_.size());
  const int options = lower_case_ ? UTF8PROC_DECOMPOSE : 0;
  const auto count = utf8proc_decompose(reinterpret_cast<const uint8_t*>(lowered_.data()),
                                        lowered_.size(), decomposed_.data(), decomposed_.size(),
                                        static_cast<utf8proc_option_t>(options));
  CHECK(count >= 0 && count <= static_cast<int64_t>(decomposed_.size())) << count;
  for (int64_t i = 0; i < count; ++i) {
    const char32_t c = decomposed_[i];
    if (lower_case_ && utf8proc_category(c) == UTF8PROC_CATEGORY_MN) continue;
    const bool punctuation = IsPunctuation(c);
    if (punctuation) EndWord(words);
    AppendUtf8(c, &words->text);
    if (punctuation) EndWord(words);
  }
  EndWord(words);
}

}  // namespace datasets
