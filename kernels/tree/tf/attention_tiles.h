#pragma once

// Attention in tiles: a bucket is a rectangle of slots, rows x columns; it is worked off in tiles
// of at most kTileRows x kTileColumns, whose rows are gathered into contiguous memory.  So memory
// is one tile a thread, whatever the size of a bucket.
//
// Operands of a tile's products are float32, or, under MatmulPrecision::kBFloat16, rounded where
// they are gathered or, softmax's results, just before the product.

#include <vector>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/runtime/context.h"
#include "kernels/tree/buckets/buckets.h"
#include "kernels/tree/head_rows.h"

namespace treeformer::cpu {

constexpr int64_t kTileRows = 192;
constexpr int64_t kTileColumns = 192;

// Half-open ranges of slots of list b H + h.
struct Rectangle {
  int64_t list;
  int64_t row_begin, row_end;
  int64_t column_begin, column_end;

  int64_t rows() const { return row_end - row_begin; }
  int64_t columns() const { return column_end - column_begin; }
};

// Neighbouring slots with the same non-empty range, at most max_rows in one rectangle.
std::vector<Rectangle> Rectangles(Ids range, int64_t max_rows);

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
