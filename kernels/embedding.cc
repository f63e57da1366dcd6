#include "kernels/embedding.h"

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// Row `index` of a table [rows, C].
template <typename T>
T* Row(View<T> table, int32_t index) {
  const int64_t rows = table.shape()[0], C = table.shape()[1];
  CHECK(0 <= index && index < rows) << "index " << index << " into a table of " << rows << " rows";
  return table.data() + index * C;
}

}  // namespace

template <typename T>
void EmbeddingForward(View<T> y, Indices tokens, Indices positions, Indices types,
                      View<const T> token_table, View<const T> position_table,
                      View<const T> type_table) {
  const int64_t N = y.shape()[0], C = y.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    const T* token = Row(token_table, tokens[n]);
    const T* position = Row(position_table, positions[n]);
    const T* type = Row(type_table, types[n]);
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = token[c] + position[c] + type[c];
  }
}

template <typename T>
void EmbeddingBackward(View<T> d_token_table, View<T> d_position_table, View<T> d_type_table,
                       View<const T> dy, Indices tokens, Indices positions, Indices types) {
  ScatterAddRows(d_token_table, dy, tokens);
  ScatterAddRows(d_position_table, dy, positions);
  ScatterAddRows(d_type_table, dy, types);
}

template <typename T>
void GatherRows(View<T> y, View<const T> x, Indices rows) {
  const int64_t M = y.shape()[0], C = y.shape()[1];
  for (int64_t m = 0; m < M; ++m) {
    const T* x_m = Row(x, rows[m]);
    for (int64_t c = 0; c < C; ++c) y[m * C + c] = x_m[c];
  }
}

template <typename T>
void ScatterAddRows(View<T> dx, View<const T> dy, Indices rows) {
  const int64_t M = dy.shape()[0], C = dy.shape()[1];
  for (int64_t m = 0; m < M; ++m) {
    T* dx_m = Row(dx, rows[m]);
    for (int64_t c = 0; c < C; ++c) dx_m[c] += dy[m * C + c];
  }
}

#define INSTANTIATE(T)                                                                           \
  template void EmbeddingForward<T>(View<T>, Indices, Indices, Indices, View<const T>,           \
                                    View<const T>, View<const T>);                               \
  template void EmbeddingBackward<T>(View<T>, View<T>, View<T>, View<const T>, Indices, Indices, \
                                     Indices);                                                   \
  template void GatherRows<T>(View<T>, View<const T>, Indices);                                  \
  template void ScatterAddRows<T>(View<T>, View<const T>, Indices);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // embedding_cpu.cc
void EmbeddingForward(Context& ctx, View<float> y, Indices tokens, Indices positions, Indices types,
                      View<const float> token_table, View<const float> position_table,
                      View<const float> type_table);
void EmbeddingBackward(Context& ctx, View<float> d_token_table, View<float> d_position_table,
                       View<float> d_type_table, View<const float> dy, Indices tokens,
                       Indices positions, Indices types);
void GatherRows(Context& ctx, View<float> y, View<const float> x, Indices rows);
void ScatterAddRows(Context& ctx, View<float> dx, View<const float> dy, Indices rows);
}  // namespace cpu

namespace cuda {  // embedding.cu
void EmbeddingForward(Context& ctx, Out y, Indices tokens, Indices positions, Indices types,
                      In token_table, In position_table, In type_table);
void EmbeddingBackward(Context& ctx, Acc d_token_table, Acc d_position_table, Acc d_type_table,
                       In dy, Indices tokens, Indices positions, Indices types);
void GatherRows(Context& ctx, Out y, In x, Indices rows);
void ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows);
}  // namespace cuda

namespace {

// rows [M, C] are looked up in, or added into, a table [any, C] at index [M].
void CheckLookUp(const Shape& rows, const Shape& table, Indices index) {
  CHECK_EQ(rows.rank(), 2) << rows;
  CHECK_EQ(table, Shape({table[0], rows[1]}));
  CHECK_EQ(index.shape(), Shape({rows[0]}));
}

}  // namespace

void EmbeddingForward(Context& ctx, Out y, Indices tokens, Indices positions, Indices types,
                      In token_table, In position_table, In type_table) {
  CheckLookUp(y.shape(), token_table.shape(), tokens);
  CheckLookUp(y.shape(), position_table.shape(), positions);
  CheckLookUp(y.shape(), type_table.shape(), types);
  if (y.count() == 0) return;
  DISPATCH(ctx, y.dtype(), EmbeddingForward, y, tokens, positions, types, token_table,
           position_table, type_table);
}

void EmbeddingBackward(Context& ctx, Acc d_token_table, Acc d_position_table, Acc d_type_table,
                       In dy, Indices tokens, Indices positions, Indices types) {
  CheckLookUp(dy.shape(), d_token_table.shape(), tokens);
  CheckLookUp(dy.shape(), d_position_table.shape(), positions);
  CheckLookUp(dy.shape(), d_type_table.shape(), types);
  if (dy.count() == 0) return;
  DISPATCH(ctx, dy.dtype(), EmbeddingBackward, d_token_table, d_position_table, d_type_table, dy,
           tokens, positions, types);
}

void GatherRows(Context& ctx, Out y, In x, Indices rows) {
  CheckLookUp(y.shape(), x.shape(), rows);
  if (y.count() == 0) return;
  DISPATCH(ctx, y.dtype(), GatherRows, y, x, rows);
}

void ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows) {
  CheckLookUp(dy.shape(), dx.shape(), rows);
  if (dy.count() == 0) return;
  DISPATCH(ctx, dy.dtype(), ScatterAddRows, dx, dy, rows);
}

}  // namespace treeformer
