#include "kernels/tree/attention_tiles.h"

#include <algorithm>

namespace cpu {

std::vector<Rectangle> Rectangles(Ids range, int64_t max_rows) {
  const int64_t n = range.shape()[2], lists = range.shape()[0] * range.shape()[1];
  std::vector<Rectangle> rectangles;
  for (int64_t list = 0; list < lists; ++list) {
    const int32_t* slots = range.data() + list * n * 2;
    int64_t begin = 0;
    while (begin < n) {
      const int32_t first = slots[2 * begin], last = slots[2 * begin + 1];
      int64_t end = begin + 1;
      while (end < n && end - begin < max_rows && slots[2 * end] == first &&
             slots[2 * end + 1] == last) {
        ++end;
      }
      if (first < last) rectangles.push_back({list, begin, end, first, last});
      begin = end;
    }
  }
  return rectangles;
}

Matrix HeadRows::Gather(const int32_t* position, int64_t count, float* copy) const {
  if (position[count - 1] - position[0] == count - 1) return {data + position[0] * ld, ld};
  constexpr int64_t kAhead = 8;  // rows: scattered over memory, fetched before they are needed
  for (int64_t r = 0; r < count; ++r) {
    const float* later = data + position[std::min(r + kAhead, count - 1)] * ld;
    for (int64_t c = 0; c < e; c += 16) __builtin_prefetch(later + c);
    std::copy_n(data + position[r] * ld, e, copy + r * e);
  }
  return {copy, e};
}

void GatherValues(float* copy, const float* x, const int32_t* position, int64_t count) {
  for (int64_t r = 0; r < count; ++r) copy[r] = x[position[r]];
}

int64_t CountUpTo(const int32_t* column, int64_t columns, int32_t row, bool inclusive) {
  return (inclusive ? std::upper_bound(column, column + columns, row)
                    : std::lower_bound(column, column + columns, row)) -
         column;
}

}  // namespace cpu
