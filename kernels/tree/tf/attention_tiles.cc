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
      const int32_t first = slots[2 * begin];
      int32_t last = slots[2 * begin + 1];
      int64_t end = begin + 1, most = max_rows;
      for (; end < n && end - begin < most; ++end) {
        const int32_t *range = slots + 2 * end, *before = range - 2;
        const bool overlaps = range[0] < last && range[0] < range[1];
        const bool equal = range[0] == before[0] && range[1] == before[1];
        if (!equal) most = std::min(max_rows, kStairRows);
        if (!equal && (!overlaps || end - begin >= most)) break;
        last = std::max(last, range[1]);
      }
      if (first < last) rectangles.push_back({list, begin, end, first, last});
      begin = end;
    }
  }
  return rectangles;
}

void TileRanges::Clip(const int32_t* range, int64_t rows, int64_t first_slot, int64_t columns) {
  const int32_t first = static_cast<int32_t>(first_slot), count = static_cast<int32_t>(columns);
  for (int64_t r = 0; r < rows; ++r) {
    begin[r] = std::clamp(range[2 * r] - first, 0, count);
    end[r] = std::clamp(range[2 * r + 1] - first, begin[r], count);
  }
}

void TileRanges::EndAt(int64_t r, int64_t column) {
  end[r] = std::min(end[r], static_cast<int32_t>(column));
  begin[r] = std::min(begin[r], end[r]);
}

void TileRanges::BeginAt(int64_t r, int64_t column) {
  begin[r] = std::clamp(static_cast<int32_t>(column), begin[r], end[r]);
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
