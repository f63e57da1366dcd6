#pragma once

// Table look-ups, and their gradients: sums in a fixed order (on the CPU: of ascending row), no
// atomics.
//
//   N rows, C channels; indices are int32, each inside its table
//   (the caller has checked its data; an index outside is fatal on the CPU; on a GPU it gives NaN,
//   and no gradient)
//   On a GPU the gradients of tables are float32, all else bfloat16, d of ScatterAddRows included.

#include "kernels/runtime/dispatch.h"

namespace treeformer {

using Indices = View<const int32_t>;

struct EmbeddingIndices {
  Indices tokens, positions, types;  // [N]
};
struct EmbeddingTables {
  In token, position, type;  // [any, C]
};

// y_n = token[tokens_n] + position[positions_n] + type[types_n]        y [N, C]
void EmbeddingForward(Context& ctx, Out y, const EmbeddingTables& tables,
                      const EmbeddingIndices& indices);
DECLARE_BACK_ENDS(EmbeddingForward)

struct EmbeddingGradients {
  Acc token, position, type;  // of the tables
};

// gradient[index_n] += dy_n for each of the three tables
void EmbeddingBackward(Context& ctx, const EmbeddingGradients& gradients, In dy,
                       const EmbeddingIndices& indices);
DECLARE_BACK_ENDS(EmbeddingBackward)

// y_m = x[rows_m]             x [N, C], rows [M], y [M, C]
void GatherRows(Context& ctx, Out y, In x, Indices rows);
DECLARE_BACK_ENDS(GatherRows)
// dx[rows_m] += dy_m
void ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows);
DECLARE_BACK_ENDS(ScatterAddRows)

}  // namespace treeformer
