#include "kernels/tree/tf/attention_tiles.h"

#include <algorithm>

#include "kernels/runtime/bfloat16.h"

namespace treeformer::cpu {

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
