#pragma once

// BERT's tokenisation step by step, each step over the whole text, as Hugging Face's slow tokenizer
// has it.  Quadratic, without fast paths, caches or scratch space; only LowerCase, which has a test
// of its own, and the Unicode tables are those of the tokenizer.

#include <utf8proc.h>

#include <string>
#include <vector>

#include "datasets/lower_case.h"
#include "datasets/utf8.h"
#include "datasets/vocabulary.h"

namespace treeformer::slow {

using Text = std::u32string;

inline Text Decode(std::string_view utf8) {
  Text text;
  for (size_t i = 0; i < utf8.size();) text.push_back(datasets::NextCodePoint(utf8, &i));
  return text;
}

inline std::string Encode(const Text& text) {
  std::string utf8;
  for (const char32_t c : text) datasets::AppendUtf8(c, &utf8);
  return utf8;
}

inline char Major(char32_t c) { return utf8proc_category_string(c)[0]; }  // L, M, N, P, S, Z, C

inline bool IsCjk(char32_t c) {
  constexpr char32_t kRanges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                     {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF},
                                     {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  for (const auto& [first, last] : kRanges) {
    if (first <= c && c <= last) return true;
  }
  return false;
}

inline bool IsPunctuation(char32_t c) {
  const bool ascii_symbol = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                            (c >= 123 && c <= 126);
  return ascii_symbol || (c >= 128 && Major(c) == 'P');
}

inline Text Clean(const Text& text) {
  Text clean;
  for (const char32_t c : text) {
    const bool space = c == '\t' || c == '\n' || c == '\r' || Major(c) == 'Z';
    if (c == 0 || c == 0xFFFD || (!space && Major(c) == 'C')) continue;
    if (IsCjk(c)) {
      clean += {U' ', c, U' '};
    } else {
      clean += space ? U' ' : c;
    }
  }
  return clean;
}

inline std::vector<Text> SplitAtSpaces(const Text& text) {
  std::vector<Text> words(1);
  for (const char32_t c : text) {
    if (c == U' ') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  std::erase_if(words, [](const Text& word) { return word.empty(); });
  return words;
}

inline Text LowerWithoutAccents(const Text& word) {
  Text lower;
  for (size_t i = 0; i < word.size(); ++i) lower += datasets::LowerCase(word, i);
  const std::string utf8 = Encode(lower);
  utf8proc_uint8_t* decomposed = nullptr;
  const auto bytes =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()), utf8.size(), &decomposed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE));
  Text bare;
  for (const char32_t c :
       Decode({reinterpret_cast<const char*>(decomposed), static_cast<size_t>(bytes)})) {
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) bare += c;
  }
  free(decomposed);
  return bare;
}

inline Text WithSpacesAroundPunctuation(const Text& word) {
  Text spaced;
  for (const char32_t c : word) {
    if (IsPunctuation(c)) {
      spaced += {U' ', c, U' '};
    } else {
      spaced += c;
    }
  }
  return spaced;
}

inline std::vector<int32_t> Pieces(const Text& word, const datasets::Vocabulary& vocabulary) {
  if (word.size() > 100) return {vocabulary.unknown()};
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin < word.size();) {
    size_t end = word.size();
    int32_t id = datasets::Vocabulary::kNone;
    for (; end > begin && id == datasets::Vocabulary::kNone; --end) {
      id = vocabulary.Find((begin > 0 ? "##" : "") + Encode(word.substr(begin, end - begin)));
    }
    if (id == datasets::Vocabulary::kNone) return {vocabulary.unknown()};
    ids.push_back(id);
    begin = end + 1;
  }
  return ids;
}

inline std::vector<int32_t> Tokenize(std::string_view utf8, const datasets::Vocabulary& vocabulary,
                                     bool lower_case) {
  std::vector<int32_t> ids;
  for (const Text& word : SplitAtSpaces(Clean(Decode(utf8)))) {
    const Text bare = lower_case ? LowerWithoutAccents(word) : word;
    for (const Text& part : SplitAtSpaces(WithSpacesAroundPunctuation(bare))) {
      for (const int32_t id : Pieces(part, vocabulary)) ids.push_back(id);
    }
  }
  return ids;
}

}  // namespace treeformer::slow
