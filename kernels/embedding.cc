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
}  // namespace reference

template <typename T>
void reference::EmbeddingForward(Context&, Out y_any, Indices tokens, Indices positions,
                                 Indices types, In token_table_any, In position_table_any,
                                 In type_table_any) {
  const View<T> y = y_any;
  const View<const T> token_table = token_table_any, position_table = position_table_any;
  const View<const T> type_table = type_table_any;
  const int64_t N = y.shape()[0], C = y.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    const T* token = Row(token_table, tokens[n]);
    const T* position = Row(position_table, positions[n]);
    const T* type = Row(type_table, types[n]);
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = token[c] + position[c] + type[c];
  }
}

template <typename T>
void reference::EmbeddingBackward(Context& ctx, Acc d_token_table, Acc d_position_table,
                                  Acc d_type_table, In dy, Indices tokens, Indices positions,
                                  Indices types) {
  reference::ScatterAddRows<T>(ctx, d_token_table, dy, tokens);
  reference::ScatterAddRows<T>(ctx, d_position_table, dy, positions);
  reference::ScatterAddRows<T>(ctx, d_type_table, dy, types);
}

template <typename T>
void reference::GatherRows(Context&, Out y_any, In x_any, Indices rows) {
  const View<T> y = y_any;
  const View<const T> x = x_any;
  const int64_t M = y.shape()[0], C = y.shape()[1];
  for (int64_t m = 0; m < M; ++m) {
    const T* x_m = Row(x, rows[m]);
    for (int64_t c = 0; c < C; ++c) y[m * C + c] = x_m[c];
  }
}

template <typename T>
void reference::ScatterAddRows(Context&, Acc dx_any, In dy_any, Indices rows) {
  const View<T> dx = dx_any;
  const View<const T> dy = dy_any;
  const int64_t M = dy.shape()[0], C = dy.shape()[1];
  for (int64_t m = 0; m < M; ++m) {
    T* dx_m = Row(dx, rows[m]);
    for (int64_t c = 0; c < C; ++c) dx_m[c] += dy[m * C + c];
  }
}

INSTANTIATE_REFERENCE(EmbeddingForward)
INSTANTIATE_REFERENCE(EmbeddingBackward)
INSTANTIATE_REFERENCE(GatherRows)
INSTANTIATE_REFERENCE(ScatterAddRows)

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
