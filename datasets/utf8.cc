#include "datasets/utf8.h"

#include <cstdint>
#include <cstring>

namespace treeformer::datasets {
namespace {

struct Lead {
  size_t bytes;  // of the whole sequence, 0 where no sequence begins so
  unsigned char second_low = 0x80, second_high = 0xBF;
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // not the overlong forms
  if (byte == 0xED) return {3, 0x80, 0x9F};  // not the surrogates
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // not above U+10FFFF
  return {0};
}

}  // namespace

Utf8Sequence FirstSequence(std::string_view text) {
  const Lead lead = LeadOf(text[0]);
  if (lead.bytes == 0) return {Utf8Sequence::kInvalid, 1};
  for (size_t i = 1; i < lead.bytes; ++i) {
    if (i == text.size()) return {Utf8Sequence::kIncomplete, i};
    const unsigned char byte = text[i];
    const unsigned char low = i == 1 ? lead.second_low : 0x80;
    const unsigned char high = i == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return {Utf8Sequence::kInvalid, i};
  }
  return {Utf8Sequence::kValid, lead.bytes};
}

size_t ValidUtf8Prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    for (uint64_t word; i + sizeof word <= text.size(); i += sizeof word) {
      memcpy(&word, text.data() + i, sizeof word);
      if (word & 0x8080808080808080) break;
    }
    if (i == text.size()) break;
    const Utf8Sequence sequence = FirstSequence(text.substr(i));
    if (sequence.kind != Utf8Sequence::kValid) break;
    i += sequence.bytes;
  }
  return i;
}

char32_t NextCodePoint(std::string_view text, size_t* offset) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data()) + *offset;
  if (bytes[0] < 0x80) {
    *offset += 1;
    return bytes[0];
  }
  if (bytes[0] < 0xE0) {
    *offset += 2;
    return (bytes[0] & 0x1F) << 6 | (bytes[1] & 0x3F);
  }
  if (bytes[0] < 0xF0) {
    *offset += 3;
    return (bytes[0] & 0x0F) << 12 | (bytes[1] & 0x3F) << 6 | (bytes[2] & 0x3F);
  }
  *offset += 4;
  return (bytes[0] & 0x07) << 18 | (bytes[1] & 0x3F) << 12 | (bytes[2] & 0x3F) << 6 |
         (bytes[3] & 0x3F);
}

void AppendUtf8(char32_t code_point, std::string* text) {
  if (code_point < 0x80) {
    text->push_back(code_point);
  } else if (code_point < 0x800) {
    text->push_back(0xC0 | code_point >> 6);
    text->push_back(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    text->push_back(0xE0 | code_point >> 12);
    text->push_back(0x80 | (code_point >> 6 & 0x3F));
    text->push_back(0x80 | (code_point & 0x3F));
  } else {
    text->push_back(0xF0 | code_point >> 18);
    text->push_back(0x80 | (code_point >> 12 & 0x3F));
    text->push_back(0x80 | (code_point >> 6 & 0x3F));
    text->push_back(0x80 | (code_point & 0x3F));
  }
}

}  // namespace treeformer::datasets
