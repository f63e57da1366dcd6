#pragma once

// BasicTokenizer: text -> words, as Hugging Face's BasicTokenizer of BERT.
//
//   clean      drop U+0000, U+FFFD and the categories C* except tab and line ends
//   spaces     tab, line ends and the categories Z* separate words
//   CJK        every ideograph is a word
//   lower      (uncased only) lower case, NFD, drop the category Mn
//   split      every ASCII symbol and every code point of the categories P* is a word
//
// Google's tokenization.py (Devlin et al. 2019) differs where text hardly goes: of C* it drops
// Cc and Cf alone, not unassigned and private code points.
//
// Words never cross ASCII white space, so text may be cut there.  Special tokens in the
// text are text: "[MASK]" is three words.  The input is valid UTF-8; ASCII takes a
// fast path.  Not for several threads at once: it owns scratch space.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace treeformer::datasets {

// Words one after another in one string.
struct Words {
  std::string text;
  std::vector<uint32_t> ends;  // word i is text[ends[i - 1], ends[i])

  size_t size() const { return ends.size(); }
  std::string_view operator[](size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return {text.data() + begin, ends[i] - begin};
  }
};

class BasicTokenizer {
 public:
  explicit BasicTokenizer(bool lower_case) : lower_case_(lower_case) {}

  void Tokenize(std::string_view text, Words* words);  // overwrites *words

 private:
  // Tokenizes ASCII up to the next white space and returns true, or stops at the first byte
  // that is not plain ASCII and returns false.
  bool TokenizeAscii(std::string_view text, size_t* offset, Words* words) const;
  void TokenizeUnicode(std::string_view text, Words* words);
  void Clean(std::string_view text);  // into cleaned_
  void AddWord(std::u32string_view word, Words* words);

  const bool lower_case_;
  std::u32string cleaned_;     // white space as ' '
  std::u32string lowered_;     // a word in lower case
  std::u32string decomposed_;  // the same in NFD
};

}  // namespace treeformer::datasets
