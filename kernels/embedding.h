#pragma once

// Table look-ups, and their gradients: sums in a fixed order (on the CPU: of ascending row), no
// atomics.
//
//   N rows, C channels; tokens, positions, types, rows: int32, each inside its table
//   (the caller has checked its data; an index outside is fatal on the CPU; on a GPU it gives NaN,
//   and no gradient)
//   On a GPU the gradients of tables are float32, all else bfloat16, d of ScatterAddRows included.

#include "kernels/runtime/context.h"

namespace treeformer {

using Indices = View<const int32_t>;

// y_n = token_table[tokens_n] + position_table[positions_n] + type_table[types_n]      y [N, C]
void EmbeddingForward(Context& ctx, Out y, Indices tokens, Indices positions, Indices types,
                      In token_table, In position_table, In type_table);
// d_table[index_n] += dy_n for each of the three tables
void EmbeddingBackward(Context& ctx, Acc d_token_table, Acc d_position_table, Acc d_type_table,
                       In dy, Indices tokens, Indices positions, Indices types);

// y_m = x[rows_m]             x [N, C], rows [M], y [M, C]
void GatherRows(Context& ctx, Out y, In x, Indices rows);
// dx[rows_m] += dy_m
void ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows);

namespace reference {

template <typename T>
void EmbeddingForward(View<T> y, Indices tokens, Indices positions, Indices types,
                      View<const T> token_table, View<const T> position_table,
                      View<const T> type_table);
template <typename T>
void EmbeddingBackward(View<T> d_token_table, View<T> d_position_table, View<T> d_type_table,
                       View<const T> dy, Indices tokens, Indices positions, Indices types);
template <typename T>
void GatherRows(View<T> y, View<const T> x, Indices rows);
template <typename T>
void ScatterAddRows(View<T> dx, View<const T> dy, Indices rows);

}  // namespace reference

}  // namespace treeformer
