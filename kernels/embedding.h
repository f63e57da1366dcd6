#pragma once

// Table look-ups, and their gradients: sums in a fixed order (on the CPU: of ascending row), no
// atomics.
//
//   N rows, C channels; tokens, positions, types, rows: int32, each inside its table
//   (the caller has checked its data; an index outside is fatal on the CPU; on a GPU it gives NaN,
//   and no gradient)
//   On a GPU the gradients of tables are float32, all else bfloat16, d of ScatterAddRows included.

#include "kernels/runtime/dispatch.h"

namespace treeformer {

using Indices = View<const int32_t>;

// y_n = token_table[tokens_n] + position_table[positions_n] + type_table[types_n]      y [N, C]
void EmbeddingForward(Context& ctx, Out y, Indices tokens, Indices positions, Indices types,
                      In token_table, In position_table, In type_table);
DECLARE_BACK_ENDS(EmbeddingForward)
// d_table[index_n] += dy_n for each of the three tables
void EmbeddingBackward(Context& ctx, Acc d_token_table, Acc d_position_table, Acc d_type_table,
                       In dy, Indices tokens, Indices positions, Indices types);
DECLARE_BACK_ENDS(EmbeddingBackward)

// y_m = x[rows_m]             x [N, C], rows [M], y [M, C]
void GatherRows(Context& ctx, Out y, In x, Indices rows);
DECLARE_BACK_ENDS(GatherRows)
// dx[rows_m] += dy_m
void ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows);
DECLARE_BACK_ENDS(ScatterAddRows)

}  // namespace treeformer
