#pragma once

// Loops shared out over the OpenMP threads.  The chunks depend on the sizes alone, never on the
// number of threads, so sums made chunk by chunk are the same bits for any number of threads.
// Inside another parallel region the calling thread does all the work.

#include <algorithm>
#include <cstdint>

namespace treeformer {

// body(index, begin, end) for the chunks [begin, end) of [0, count), in any order.
template <typename Body>
void ParallelChunks(int64_t count, int64_t chunk, const Body& body) {
  const int64_t chunks = (count + chunk - 1) / chunk;
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (int64_t i = 0; i < chunks; ++i) body(i, i * chunk, std::min(count, (i + 1) * chunk));
}

// The length of a chunk of rows that holds about `elements` elements.
inline int64_t RowsPerChunk(int64_t columns, int64_t elements) {
  return std::max<int64_t>(1, elements / std::max<int64_t>(1, columns));
}

// The length of a chunk of rows whose sum over the rows is kept apart until all are added in
// order: at most 64 such sums.
inline int64_t RowsPerPartialSum(int64_t rows) { return std::max<int64_t>(16, (rows + 63) / 64); }

}  // namespace treeformer
