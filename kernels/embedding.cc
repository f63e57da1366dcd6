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
void reference::EmbeddingForward(Context&, Out y_any, const EmbeddingTables& tables,
                                 const EmbeddingIndices& indices) {
  const View<T> y = y_any;
  const View<const T> token_table = tables.token, position_table = tables.position;
  const View<const T> type_table = tables.type;
  const auto& [tokens, positions, types] = indices;
  const int64_t N = y.shape()[0], C = y.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    const T* token = Row(token_table, tokens[n]);
    const T* position = Row(position_table, positions[n]);
    const T* type = Row(type_table, types[n]);
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = token[c] + position[c] + type[c];
  }
}

template <typename T>
void reference::EmbeddingBackward(Context& ctx, const EmbeddingGradients& gradients, In dy,
                                  const EmbeddingIndices& indices) {
  reference::ScatterAddRows<T>(ctx, gradients.token, dy, indices.tokens);
  reference::ScatterAddRows<T>(ctx, gradients.position, dy, indices.positions);
  reference::ScatterAddRows<T>(ctx, gradients.type, dy, indices.types);
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

void EmbeddingForward(Context& ctx, Out y, const EmbeddingTables& tables,
                      const EmbeddingIndices& indices) {
  CheckLookUp(y.shape(), tables.token.shape(), indices.tokens);
  CheckLookUp(y.shape(), tables.position.shape(), indices.positions);
  CheckLookUp(y.shape(), tables.type.shape(), indices.types);
  if (y.count() == 0) return;
  DISPATCH(ctx, y.dtype(), EmbeddingForward, y, tables, indices);
}

void EmbeddingBackward(Context& ctx, const EmbeddingGradients& gradients, In dy,
                       const EmbeddingIndices& indices) {
  CheckLookUp(dy.shape(), gradients.token.shape(), indices.tokens);
  CheckLookUp(dy.shape(), gradients.position.shape(), indices.positions);
  CheckLookUp(dy.shape(), gradients.type.shape(), indices.types);
  if (dy.count() == 0) return;
  DISPATCH(ctx, dy.dtype(), EmbeddingBackward, gradients, dy, indices);
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
