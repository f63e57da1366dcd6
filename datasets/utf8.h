#pragma once

// UTF-8: validation, and code points one at a time.          Unicode 15, section 3.9, table 3-7
// An invalid sequence is its "maximal subpart": what one U+FFFD replaces.

#include <cstddef>
#include <string>
#include <string_view>

namespace treeformer::datasets {

constexpr char32_t kReplacementCharacter = 0xFFFD;

// The sequence at text[0].
struct Utf8Sequence {
  enum Kind { kValid, kInvalid, kIncomplete };  // incomplete: more bytes could make it valid
  Kind kind;
  size_t bytes;
};
Utf8Sequence FirstSequence(std::string_view text);  // text is not empty

// Bytes of the longest prefix made of valid sequences.
size_t ValidUtf8Prefix(std::string_view text);

// The code point at text[*offset] of valid text; moves *offset past it.
char32_t NextCodePoint(std::string_view text, size_t* offset);

void AppendUtf8(char32_t code_point, std::string* text);

}  // namespace treeformer::datasets
