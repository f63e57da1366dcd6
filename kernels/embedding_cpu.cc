// Table look-ups for float32: forward threaded over rows, backward over columns, so that every
// element is summed in ascending order of the rows for any number of threads.

#include <omp.h>

#include "kernels/embedding.h"
#include "kernels/runtime/parallel.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kChunk = 1 << 14;  // elements

void CheckIndices(Indices indices, int64_t rows) {
  for (int64_t n = 0; n < indices.count(); ++n) {
    CHECK(0 <= indices[n] && indices[n] < rows)
        << "index " << indices[n] << " into a table of " << rows << " rows";
  }
}

// table[index_n] += dy_n in the columns [begin, end)
void AddColumns(View<float> table, View<const float> dy, Indices indices, int64_t begin,
                int64_t end) {
  const int64_t N = dy.shape()[0], C = dy.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    float* __restrict sum = table.data() + indices[n] * C;
    const float* __restrict dy_n = dy.data() + n * C;
    for (int64_t c = begin; c < end; ++c) sum[c] += dy_n[c];
  }
}

// Columns in whole cache lines, about one chunk a thread.
int64_t ColumnsPerThread(int64_t C) {
  constexpr int64_t kLine = 64 / sizeof(float);
  const int64_t columns = (C + omp_get_max_threads() - 1) / omp_get_max_threads();
  return (columns + kLine - 1) / kLine * kLine;
}

}  // namespace
}  // namespace cpu

void cpu::EmbeddingForward(Context&, Out y_any, const EmbeddingTables& tables,
                           const EmbeddingIndices& indices) {
  const View<float> y = y_any;
  const View<const float> token_table = tables.token, position_table = tables.position;
  const View<const float> type_table = tables.type;
  const Indices tokens = indices.tokens, positions = indices.positions, types = indices.types;
  const int64_t N = y.shape()[0], C = y.shape()[1];
  CheckIndices(tokens, token_table.shape()[0]);
  CheckIndices(positions, position_table.shape()[0]);
  CheckIndices(types, type_table.shape()[0]);
  ParallelChunks(N, RowsPerChunk(C, kChunk), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const float* token = token_table.data() + tokens[n] * C;
      const float* position = position_table.data() + positions[n] * C;
      const float* type = type_table.data() + types[n] * C;
      float* __restrict y_n = y.data() + n * C;
      for (int64_t c = 0; c < C; ++c) y_n[c] = token[c] + position[c] + type[c];
    }
  });
}

void cpu::EmbeddingBackward(Context&, const EmbeddingGradients& gradients, In dy_any,
                            const EmbeddingIndices& indices) {
  const View<const float> dy = dy_any;
  const View<float> token = gradients.token, position = gradients.position, type = gradients.type;
  const int64_t C = dy.shape()[1];
  CheckIndices(indices.tokens, token.shape()[0]);
  CheckIndices(indices.positions, position.shape()[0]);
  CheckIndices(indices.types, type.shape()[0]);
  ParallelChunks(C, ColumnsPerThread(C), [&](int64_t, int64_t begin, int64_t end) {
    AddColumns(token, dy, indices.tokens, begin, end);
    AddColumns(position, dy, indices.positions, begin, end);
    AddColumns(type, dy, indices.types, begin, end);
  });
}

void cpu::GatherRows(Context&, Out y_any, In x_any, Indices rows) {
  const View<float> y = y_any;
  const View<const float> x = x_any;
  const int64_t M = y.shape()[0], C = y.shape()[1];
  CheckIndices(rows, x.shape()[0]);
  ParallelChunks(M, RowsPerChunk(C, kChunk), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      std::copy_n(x.data() + rows[m] * C, C, y.data() + m * C);
    }
  });
}

void cpu::ScatterAddRows(Context&, Acc dx_any, In dy_any, Indices rows) {
  const View<float> dx = dx_any;
  const View<const float> dy = dy_any;
  const int64_t C = dy.shape()[1];
  CheckIndices(rows, dx.shape()[0]);
  ParallelChunks(C, ColumnsPerThread(C), [&](int64_t, int64_t begin, int64_t end) {
    AddColumns(dx, dy, rows, begin, end);
  });
}

}  // namespace treeformer
