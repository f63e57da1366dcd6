#pragma once

// Attention in tiles: an item of the work list is worked off in tiles of at most kTileRows x
// kTileColumns, whose rows are gathered into contiguous memory.  So memory is one tile a thread,
// whatever the length of a range.
//
// Operands of a tile's products are float32, or, under MatmulPrecision::kBFloat16, rounded where
// they are gathered or, softmax's results, just before the product.

#include "kernels/matmul/tile_gemm.h"
#include "kernels/runtime/context.h"
#include "kernels/tree/buckets/work_list.h"
#include "kernels/tree/head_rows.h"

namespace treeformer::cpu {

constexpr int64_t kTileRows = 192;
constexpr int64_t kTileColumns = 192;

// Which columns of a tile a row sees: [begin[r], end[r]), of the tile's first column on.
struct TileRanges {
  int32_t begin[kTileRows], end[kTileRows];

  // range [rows, 2] in slots; the tile's columns are the slots [first_slot, first_slot + columns).
  void Clip(const int32_t* range, int64_t rows, int64_t first_slot, int64_t columns);
  // What is below / from `column` on alone.
  void EndAt(int64_t r, int64_t column);
  void BeginAt(int64_t r, int64_t column);
};

// Rows that become operands of products.
struct OperandRows : HeadRows {
  MatmulPrecision precision;

  OperandRows(View<const float> x, int64_t list, MatmulPrecision precision_)
      : HeadRows(x, list), precision(precision_) {}
  // Rows `position[0 .. count)` as an operand: in place when they are neighbours and not to be
  // rounded, otherwise in `copy` [count, e].
  Matrix Gather(const int32_t* position, int64_t count, float* copy) const;
};

// The first `columns` of the rows of a tile [rows, kTileColumns] as an operand; what is rounded
// takes the place of the tile.
Matrix TileOperand(float* tile, int64_t rows, int64_t columns, MatmulPrecision precision);

// copy[r] = x[position[r]]
void GatherValues(float* copy, const float* x, const int32_t* position, int64_t count);

// Causal: how many of the ascending `column` positions are <= (inclusive) or < row.
int64_t CountUpTo(const int32_t* column, int64_t columns, int32_t row, bool inclusive);

}  // namespace treeformer::cpu
