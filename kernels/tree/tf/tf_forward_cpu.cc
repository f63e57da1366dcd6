#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/tree/tf/attention_rows.h"
#include "kernels/tree/tf/tf_attention.h"

namespace treeformer {
namespace cpu {
namespace {

// The memory of one thread, in elements.
struct Workspace {
  float *q, *k, *v, *S, *o;
  float *max, *sum, *correction;
  TileRanges ranges;
  uint64_t row_index[kTileRows];

  static int64_t Count(int64_t e) {
    return 2 * kTileRows * e + 2 * kTileColumns * e + kTileRows * kTileColumns + 3 * kTileRows;
  }
  Workspace(float* memory, int64_t e) {
    const auto take = [&](int64_t count) { return std::exchange(memory, memory + count); };
    S = take(kTileRows * kTileColumns);
    q = take(kTileRows * e);
    o = take(kTileRows * e);
    k = take(kTileColumns * e);
    v = take(kTileColumns * e);
    max = take(kTileRows);
    sum = take(kTileRows);
    correction = take(kTileRows);
  }
};

struct Problem {
  View<float> o, lse;
  View<const float> q, k, v;
  const Buckets& buckets;
  const AttentionOptions& options;
  const MatmulPrecision precision;

  OperandRows Rows(View<const float> x, int64_t list) const { return {x, list, precision}; }
};

void StoreRows(const Problem& problem, const WorkItem& tile, const Workspace& work,
               const int32_t* query) {
  const int64_t n = problem.q.shape()[1], H = problem.q.shape()[2], e = problem.q.shape()[3];
  const int64_t b = tile.list / H, h = tile.list % H;
  for (int64_t r = 0; r < tile.rows(); ++r) {
    if (work.sum[r] == 0) continue;  // causal: no key yet
    float* o = problem.o.data() + ((b * n + query[r]) * H + h) * e;
    const float factor = 1 / work.sum[r];
    for (int64_t c = 0; c < e; ++c) o[c] = work.o[r * e + c] * factor;
    problem.lse[tile.list * n + query[r]] = work.max[r] + std::log(work.sum[r]);
  }
}

// One tile of queries against all keys of its ranges.
void ForwardTile(const Problem& problem, const WorkItem& tile, Workspace& work) {
  const int64_t n = problem.q.shape()[1], m = problem.k.shape()[1];
  const int64_t e = problem.q.shape()[3], rows = tile.rows();
  const int32_t* query = problem.buckets.query_order.data() + tile.list * n + tile.row_begin;
  const int32_t* key = problem.buckets.key_order.data() + tile.list * m + tile.column_begin;
  const int32_t* range = problem.buckets.key_range.data() + 2 * (tile.list * n + tile.row_begin);
  const bool causal = problem.options.causal;
  const int64_t keys =
      causal ? CountUpTo(key, tile.columns(), query[rows - 1], /*inclusive=*/true) : tile.columns();

  const Matrix q = problem.Rows(problem.q, tile.list).Gather(query, rows, work.q);
  std::fill_n(work.max, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(work.sum, rows, 0.0f);
  for (int64_t r = 0; r < rows; ++r) work.row_index[r] = (tile.list * n + query[r]) * m;

  for (int64_t begin = 0; begin < keys; begin += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, keys - begin);
    const Matrix k = problem.Rows(problem.k, tile.list).Gather(key + begin, columns, work.k);
    const Matrix v = problem.Rows(problem.v, tile.list).Gather(key + begin, columns, work.v);
    work.ranges.Clip(range, rows, tile.column_begin + begin, columns);
    for (int64_t r = 0; causal && r < rows; ++r) {
      work.ranges.EndAt(r, CountUpTo(key + begin, columns, query[r], /*inclusive=*/true));
    }
    const TileExtent extent{rows, columns, &work.ranges};
    GemmNT(rows, columns, e, 1 / std::sqrt(static_cast<float>(e)), q, k, work.S, kTileColumns);
    SoftmaxTile(work.S, extent, work.max, work.sum, work.correction);
    if (problem.options.dropout.enabled()) {
      DropoutTile(work.S, extent, {&problem.options.dropout, work.row_index, key + begin});
    }
    if (begin > 0) ScaleRows(work.o, rows, e, work.correction);
    const Matrix p = TileOperand(work.S, rows, columns, problem.precision);
    GemmNN(rows, e, columns, /*alpha=*/1, p, v, begin > 0 ? 1 : 0, work.o, e);
  }
  if (keys > 0) StoreRows(problem, tile, work, query);
}

}  // namespace
}  // namespace cpu

void cpu::TfForward(Context& ctx, Out o, Out lse, const TfOperands& operands) {
  const auto& [q, k, v, buckets, options] = operands;
  const Problem problem{o, lse, q, k, v, buckets, options, ctx.matmul_precision()};
  const int64_t e = problem.q.shape()[3];
  Zero(ctx, o);  // rows without keys stay so
  std::fill_n(problem.lse.data(), problem.lse.count(), -std::numeric_limits<float>::infinity());

  const WorkList items = MakeWorkList(buckets.key_range, kTileRows);
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> memory = scope.Take<float>({omp_get_max_threads(), Workspace::Count(e)});
#pragma omp parallel
  {
    Workspace work(memory.data() + omp_get_thread_num() * Workspace::Count(e), e);
#pragma omp for schedule(dynamic)
    for (size_t t = 0; t < items.size(); ++t) ForwardTile(problem, items[t], work);
  }
}

}  // namespace treeformer
