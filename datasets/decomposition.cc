#include "datasets/decomposition.h"

#include <glog/logging.h>
#include <utf8proc.h>

#include <algorithm>

namespace treeformer::datasets {
namespace {

auto CombiningClass(char32_t c) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

void Append(char32_t c, std::u32string* text) {
  if (c < 0xC0) {  // decomposes to itself
    text->push_back(c);
    return;
  }
  constexpr int kMaxCount = 4;  // code points that one decomposes into
  utf8proc_int32_t parts[kMaxCount];
  int unused_boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, kMaxCount,
                                             UTF8PROC_DECOMPOSE, &unused_boundary);
  CHECK(count >= 1 && count <= kMaxCount) << count;
  text->append(parts, parts + count);
}

}  // namespace

void Decompose(std::u32string_view text, std::u32string* decomposed) {
  decomposed->clear();
  for (const char32_t c : text) Append(c, decomposed);
  const auto is_mark = [](char32_t c) { return c >= 0x300 && CombiningClass(c) != 0; };
  const auto end = decomposed->end();
  for (auto begin = decomposed->begin(); begin != end;) {
    begin = std::find_if(begin, end, is_mark);
    const auto run_end = std::find_if_not(begin, end, is_mark);
    if (run_end - begin > 1) {
      std::stable_sort(begin, run_end, [](char32_t a, char32_t b) {
        return CombiningClass(a) < CombiningClass(b);
      });
    }
    begin = run_end;
  }
}

}  // namespace treeformer::datasets
