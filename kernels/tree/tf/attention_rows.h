#pragma once

// The row-wise work on one tile of scores, vectorised; see attention_tiles.h.
//
//   S, dP [rows, kTileColumns]: the first `columns` of every row are scores <q, k> / sqrt(e) and
//   <dO, v>; a row sees the part of them that its range says.
//   Sums run in float32 over fixed lanes, then over the lanes.

#include "kernels/base/random.h"
#include "kernels/tree/tf/attention_tiles.h"

namespace treeformer::cpu {

// Which pairs of a tile are dropped.  row_index [rows]: index of the pair (row, position 0).
struct TileDropout {
  const Dropout* dropout;
  const uint64_t* row_index;
  const int32_t* column_position;
};

struct TileExtent {
  int64_t rows, columns;
  const TileRanges* ranges;
};

// Online softmax: S becomes exp(S - max), 0 where not seen.  max, sum [rows] are running:
// what was summed before must be scaled by correction [rows] = exp(old max - new max).
void SoftmaxTile(float* S, const TileExtent& extent, float* max, float* sum, float* correction);

// S becomes 0 where dropped, is scaled elsewhere.
void DropoutTile(float* S, const TileExtent& extent, const TileDropout& dropped);

// S becomes dropout(p), dP becomes dS = p (dropout(dP) - delta), both 0 where not seen;
// p = exp(S - lse).  column_sum [columns] += sum of dS over the rows.
void SoftmaxBackwardTile(float* S, float* dP, const TileExtent& extent, const TileDropout& dropped,
                         const float* lse, const float* delta, float* column_sum);

// Running over tiles: max, sum as in SoftmaxTile, weighted = sum of exp(S - max) dP.
void QueryGainTile(const float* S, const float* dP, const TileExtent& extent, float* max,
                   float* sum, float* weighted);

// Rows are keys, columns are queries.
// gain[r] += sum of sigmoid(S - lse) (dP - delta);  lse, delta [columns]
void KeyGainTile(const float* S, const float* dP, const TileExtent& extent, const float* lse,
                 const float* delta, float* gain);

// y[r] [count] *= factor[r]
void ScaleRows(float* y, int64_t rows, int64_t count, const float* factor);

}  // namespace treeformer::cpu
