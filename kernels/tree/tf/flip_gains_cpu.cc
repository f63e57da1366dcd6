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
  float *S, *dP;
  float *row_a, *row_b;        // q and d_o of queries, or k and v of keys
  float *column_a, *column_b;  // the other side's
  float *max, *sum, *gain;     // of rows
  float *lse, *delta;          // of columns
  TileRanges ranges;

  static int64_t Count(int64_t e) {
    return 2 * kTileRows * kTileColumns + 2 * kTileRows * e + 2 * kTileColumns * e + 3 * kTileRows +
           2 * kTileColumns;
  }
  Workspace(float* memory, int64_t e) {
    const auto take = [&](int64_t count) { return std::exchange(memory, memory + count); };
    for (float** tile : {&S, &dP}) *tile = take(kTileRows * kTileColumns);
    for (float** rows : {&row_a, &row_b}) *rows = take(kTileRows * e);
    for (float** columns : {&column_a, &column_b}) *columns = take(kTileColumns * e);
    for (float** values : {&max, &sum, &gain}) *values = take(kTileRows);
    for (float** values : {&lse, &delta}) *values = take(kTileColumns);
  }
};

// One side of the probes: S = row_a column_a^T / sqrt(e), dP = row_b column_b^T.
struct Side {
  View<const float> row_a, row_b, column_a, column_b;
  Ids row_order, column_order, row_range;
  WorkList items;
  MatmulPrecision precision;

  OperandRows Rows(View<const float> x, int64_t list) const { return {x, list, precision}; }
};

struct Problem {
  View<float> query_gain, key_gain;
  View<const float> lse, delta;
  bool causal;
};

// A tile of rows and the positions of its slots.
struct RowTile {
  const Side& side;
  const WorkItem& tile;
  int64_t first;  // row of position 0 in [B, H, n]
  const int32_t *row, *column, *range;

  RowTile(const Side& side_, const WorkItem& tile_)
      : side(side_), tile(tile_), first(tile.list * side.row_a.shape()[1]) {
    row = side.row_order.data() + first + tile.row_begin;
    column = side.column_order.data() + first + tile.column_begin;
    range = side.row_range.data() + 2 * (first + tile.row_begin);
  }
};

// consume(column positions, extent) after S and dP of every tile of the columns [begin, end).
template <typename Consume>
void ForEachColumnTile(const RowTile& rows, int64_t begin, int64_t end, Workspace& work,
                       const Consume& consume) {
  const Side& side = rows.side;
  const int64_t list = rows.tile.list, count = rows.tile.rows(), e = side.row_a.shape()[3];
  const float scale = 1 / std::sqrt(static_cast<float>(e));
  const Matrix row_a = side.Rows(side.row_a, list).Gather(rows.row, count, work.row_a);
  const Matrix row_b = side.Rows(side.row_b, list).Gather(rows.row, count, work.row_b);
  for (; begin < end; begin += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, end - begin);
    const int32_t* column = rows.column + begin;
    const Matrix a = side.Rows(side.column_a, list).Gather(column, columns, work.column_a);
    const Matrix b = side.Rows(side.column_b, list).Gather(column, columns, work.column_b);
    GemmNT(count, columns, e, scale, row_a, a, work.S, kTileColumns);
    GemmNT(count, columns, e, /*alpha=*/1, row_b, b, work.dP, kTileColumns);
    work.ranges.Clip(rows.range, count, rows.tile.column_begin + begin, columns);
    consume(column, TileExtent{count, columns, &work.ranges});
  }
}

void QueryTile(const Problem& problem, const Side& side, const WorkItem& tile, Workspace& work) {
  const RowTile queries(side, tile);
  const int64_t rows = tile.rows();
  const auto up_to = [&](const int32_t* key, int64_t keys, int64_t r) {
    return problem.causal ? CountUpTo(key, keys, queries.row[r], /*inclusive=*/true) : keys;
  };
  std::fill_n(work.max, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(work.sum, rows, 0.0f);
  std::fill_n(work.gain, rows, 0.0f);
  const int64_t end = up_to(queries.column, tile.columns(), rows - 1);
  ForEachColumnTile(queries, /*begin=*/0, end, work,
                    [&](const int32_t* key, const TileExtent& extent) {
                      for (int64_t r = 0; problem.causal && r < rows; ++r)
                        work.ranges.EndAt(r, up_to(key, extent.columns, r));
                      QueryGainTile(work.S, work.dP, extent, work.max, work.sum, work.gain);
                    });
  for (int64_t r = 0; r < rows; ++r) {
    if (work.sum[r] == 0) continue;  // no key there: the row's output would be zero
    problem.query_gain[queries.first + queries.row[r]] += work.gain[r] / work.sum[r];
  }
}

void KeyTile(const Problem& problem, const Side& side, const WorkItem& tile, Workspace& work) {
  const RowTile keys(side, tile);
  const int64_t rows = tile.rows();
  const auto hidden = [&](const int32_t* query, int64_t queries, int64_t r) {
    return problem.causal ? CountUpTo(query, queries, keys.row[r], /*inclusive=*/false) : 0;
  };
  std::fill_n(work.gain, rows, 0.0f);
  const int64_t begin = hidden(keys.column, tile.columns(), 0);
  ForEachColumnTile(
      keys, begin, tile.columns(), work, [&](const int32_t* query, const TileExtent& extent) {
        GatherValues(work.lse, problem.lse.data() + keys.first, query, extent.columns);
        GatherValues(work.delta, problem.delta.data() + keys.first, query, extent.columns);
        for (int64_t r = 0; problem.causal && r < rows; ++r)
          work.ranges.BeginAt(r, hidden(query, extent.columns, r));
        KeyGainTile(work.S, work.dP, extent, work.lse, work.delta, work.gain);
      });
  for (int64_t r = 0; r < rows; ++r) problem.key_gain[keys.first + keys.row[r]] += work.gain[r];
}

}  // namespace
}  // namespace cpu

void cpu::FlipGains(Context& ctx, Out query_gain, Out key_gain, const FlipOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, key_effect, query_probe, key_probe, causal] = operands;
  const Problem problem{query_gain, key_gain, lse, delta, causal};
  const Side queries{q,
                     d_o,
                     k,
                     v,
                     query_probe.query_order,
                     query_probe.key_order,
                     query_probe.key_range,
                     MakeWorkList(query_probe.key_range, kTileRows),
                     ctx.matmul_precision()};
  const Side keys{k,
                  v,
                  q,
                  d_o,
                  key_probe.key_order,
                  key_probe.query_order,
                  key_probe.query_range,
                  MakeWorkList(key_probe.query_range, kTileRows),
                  ctx.matmul_precision()};
  const View<const float> effect = key_effect;
  const int64_t e = queries.row_a.shape()[3];
  for (int64_t row = 0; row < effect.count(); ++row) {
    problem.query_gain[row] = -problem.delta[row];
    problem.key_gain[row] = -effect[row];
  }

  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> memory = scope.Take<float>({omp_get_max_threads(), Workspace::Count(e)});
#pragma omp parallel
  {
    Workspace work(memory.data() + omp_get_thread_num() * Workspace::Count(e), e);
#pragma omp for schedule(dynamic) nowait
    for (size_t t = 0; t < queries.items.size(); ++t) {
      QueryTile(problem, queries, queries.items[t], work);
    }
#pragma omp for schedule(dynamic)
    for (size_t t = 0; t < keys.items.size(); ++t) KeyTile(problem, keys, keys.items[t], work);
  }
}

}  // namespace treeformer
