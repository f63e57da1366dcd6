#include "kernels/tree/tf/attention_tiles.h"

#include <algorithm>

#include "kernels/runtime/bfloat16.h"

namespace treeformer::cpu {

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

Matrix OperandRows::Gather(const int32_t* position, int64_t count, float* copy) const {
  const bool rounds = precision == MatmulPrecision::kBFloat16;
  const bool neighbours = position[count - 1] - position[0] == count - 1;
  if (neighbours && !rounds) return {data + position[0] * ld, ld};
  BFloat16* rounded = reinterpret_cast<BFloat16*>(copy);
  constexpr int64_t kAhead = 8;  // rows: scattered over memory, fetched before they are needed
  for (int64_t r = 0; r < count; ++r) {
    const float* later = data + position[std::min(r + kAhead, count - 1)] * ld;
    for (int64_t c = 0; c < e; c += 16) __builtin_prefetch(later + c);
    const float* row = data + position[r] * ld;
    if (rounds) {
      RoundToBFloat16(rounded + r * e, row, e);
    } else {
      std::copy_n(row, e, copy + r * e);
    }
  }
  return {copy, e, rounds ? DType::kBFloat16 : DType::kFloat32};
}

Matrix TileOperand(float* tile, int64_t rows, int64_t columns, MatmulPrecision precision) {
  if (precision == MatmulPrecision::kFloat32) return {tile, kTileColumns};
  for (int64_t r = 0; r < rows; ++r) {
    float* row = tile + r * kTileColumns;
    RoundToBFloat16(reinterpret_cast<BFloat16*>(row), row, columns);
  }
  return {tile, 2 * kTileColumns, DType::kBFloat16};
}

void GatherValues(float* copy, const float* x, const int32_t* position, int64_t count) {
  for (int64_t r = 0; r < count; ++r) copy[r] = x[position[r]];
}

int64_t CountUpTo(const int32_t* column, int64_t columns, int32_t row, bool inclusive) {
  return (inclusive ? std::upper_bound(column, column + columns, row)
                    : std::lower_bound(column, column + columns, row)) -
         column;
}

}  // namespace treeformer::cpu
