#pragma once

// One string field of a JSON object, without building the object: the text is found in place
// and decoded in portions, in time linear in its length.
//
// It reads what RFC 8259 allows, and what Python writes besides: NaN, Infinity and -Infinity as
// values, and \u escapes of one half of a surrogate pair.  Where a name occurs twice, the last
// counts.

#include <cstdint>
#include <string>
#include <string_view>

namespace treeformer::datasets {

struct JsonString {
  std::string_view escaped;               // between the quotes
  int64_t lone_surrogates = 0;            // escapes of one half of a pair
  std::string_view first_surrogate = {};  // of them, as it is written
};

// The string at `field` of the object `json`, valid UTF-8.  Anything else is a UserError; `where`
// (file and line) begins its sentence.
JsonString FindJsonString(std::string_view json, const std::string& field,
                          const std::string& where);

// Takes escapes and characters from the front of a found string until it has appended at least
// `bytes` bytes to *text, or nothing is left.  A lone surrogate becomes U+FFFD.
void DecodeJson(std::string_view* escaped, size_t bytes, std::string* text);

}  // namespace treeformer::datasets
