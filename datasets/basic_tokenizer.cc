#include "datasets/basic_tokenizer.h"

#include <glog/logging.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <limits>

#include "datasets/decomposition.h"
#include "datasets/lower_case.h"
#include "datasets/utf8.h"

namespace treeformer::datasets {
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

void BasicTokenizer::AddWord(std::u32string_view word, Words* words) {
  if (lower_case_) {
    lowered_.clear();
    for (size_t i = 0; i < word.size(); ++i) lowered_.push_back(LowerCase(word, i));
    Decompose(lowered_, &decomposed_);
    word = decomposed_;
  }
  for (const char32_t c : word) {
    if (lower_case_ && utf8proc_category(c) == UTF8PROC_CATEGORY_MN) continue;
    const bool punctuation = IsPunctuation(c);
    if (punctuation) EndWord(words);
    AppendUtf8(c, &words->text);
    if (punctuation) EndWord(words);
  }
  EndWord(words);
}

}  // namespace treeformer::datasets
