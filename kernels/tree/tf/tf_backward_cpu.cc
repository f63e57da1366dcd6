#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>

#include "kernels/tree/tf/attention_rows.h"
#include "kernels/tree/tf/tf_attention.h"

namespace treeformer {
namespace cpu {
namespace {

// The memory of one thread, in elements.
struct Workspace {
  float *S, *dP;
  float *q, *d_o, *dq;
  float *k, *v, *dk, *dv;
  float *lse, *delta, *key_effect;
  TileRanges ranges;
  uint64_t row_index[kTileRows];

  static int64_t Count(int64_t e) {
    return 2 * kTileRows * kTileColumns + 3 * kTileRows * e + 4 * kTileColumns * e + 2 * kTileRows +
           kTileColumns;
  }
  Workspace(float* memory, int64_t e) {
    const auto take = [&](int64_t count) { return std::exchange(memory, memory + count); };
    for (float** tile : {&S, &dP}) *tile = take(kTileRows * kTileColumns);
    for (float** rows : {&q, &d_o, &dq}) *rows = take(kTileRows * e);
    for (float** columns : {&k, &v, &dk, &dv}) *columns = take(kTileColumns * e);
    for (float** values : {&lse, &delta}) *values = take(kTileRows);
    key_effect = take(kTileColumns);
  }
};

// At most kTileColumns keys, the rows, against all queries that see them.
struct KeyTile : WorkItem {
  bool shares_queries;  // with the tile before it
};

struct Problem {
  View<float> dq, dk, dv, delta, key_effect;
  View<const float> d_o, q, k, v, o, lse;
  const Buckets& buckets;
  const AttentionOptions& options;
  const MatmulPrecision precision;

  int64_t n() const { return q.shape()[1]; }  // queries
  int64_t m() const { return k.shape()[1]; }  // keys
  int64_t e() const { return q.shape()[3]; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(e())); }
  OperandRows Rows(View<const float> x, int64_t list) const { return {x, list, precision}; }
  // Offset of a row of a list in [B, length, H, e].
  int64_t Offset(int64_t list, int64_t length, int64_t position) const {
    const int64_t H = q.shape()[2];
    return ((list / H * length + position) * H + list % H) * e();
  }
};

// Tiles of keys add to the same rows of dq.  They take turns, in ascending order, so that the sum
// does not depend on the threads: tile t adds to a tile of queries when tile t - 1, and so all
// before it, are past it.
class Turns {
 public:
  explicit Turns(size_t tiles) : done_(new std::atomic<int32_t>[tiles]()) {}

  void WaitFor(size_t tile, int32_t slot) {  // of queries: all below it
    int32_t done = done_[tile].load(std::memory_order_acquire);
    while (done < slot) {
      done_[tile].wait(done, std::memory_order_acquire);
      done = done_[tile].load(std::memory_order_acquire);
    }
  }
  void Finish(size_t tile, int32_t slot) {  // all below it
    done_[tile].store(slot, std::memory_order_release);
    done_[tile].notify_all();
  }

 private:
  std::unique_ptr<std::atomic<int32_t>[]> done_;
};

std::vector<KeyTile> KeyTiles(Ids query_range) {
  std::vector<KeyTile> tiles;
  for (const WorkItem& keys : MakeWorkList(query_range, kTileColumns)) {
    const bool shares_queries = !tiles.empty() && tiles.back().list == keys.list &&
                                keys.column_begin < tiles.back().column_end;
    tiles.push_back({keys, shares_queries});
  }
  return tiles;
}

// Work on one tile of queries, those from slot `begin` on: dk, dv of the tile of keys accumulate in
// `work`, dq is left there.
void BackwardTile(const Problem& problem, const KeyTile& tile, int64_t begin, int64_t rows,
                  Matrix k, Matrix v, float beta, Workspace& work) {
  const int64_t n = problem.n(), m = problem.m(), e = problem.e();
  const int64_t list = tile.list, columns = tile.rows();
  const int32_t* query = problem.buckets.query_order.data() + list * n + begin;
  const int32_t* key = problem.buckets.key_order.data() + list * m + tile.row_begin;
  const int32_t* range = problem.buckets.key_range.data() + 2 * (list * n + begin);
  const Matrix q = problem.Rows(problem.q, list).Gather(query, rows, work.q);
  const Matrix d_o = problem.Rows(problem.d_o, list).Gather(query, rows, work.d_o);
  GatherValues(work.lse, problem.lse.data() + list * n, query, rows);
  GatherValues(work.delta, problem.delta.data() + list * n, query, rows);
  work.ranges.Clip(range, rows, tile.row_begin, columns);
  for (int64_t r = 0; r < rows; ++r) {
    work.row_index[r] = (list * n + query[r]) * m;
    if (!problem.options.causal) continue;
    work.ranges.EndAt(r, CountUpTo(key, columns, query[r], /*inclusive=*/true));
  }
  const float scale = problem.scale();
  GemmNT(rows, columns, e, scale, q, k, work.S, kTileColumns);
  GemmNT(rows, columns, e, /*alpha=*/1, d_o, v, work.dP, kTileColumns);
  SoftmaxBackwardTile(work.S, work.dP, {rows, columns, &work.ranges},
                      {&problem.options.dropout, work.row_index, key}, work.lse, work.delta,
                      work.key_effect);
  const Matrix p = TileOperand(work.S, rows, columns, problem.precision);
  const Matrix dS = TileOperand(work.dP, rows, columns, problem.precision);
  GemmTN(columns, e, rows, /*alpha=*/1, p, d_o, beta, work.dv, e);
  GemmTN(columns, e, rows, scale, dS, q, beta, work.dk, e);
  GemmNN(rows, e, columns, scale, dS, k, /*beta=*/0, work.dq, e);
}

void StoreKeys(const Problem& problem, int64_t list, const int32_t* key, int64_t columns,
               const Workspace& work) {
  const int64_t e = problem.e();
  for (int64_t c = 0; c < columns; ++c) {
    const int64_t row = problem.Offset(list, problem.m(), key[c]);
    std::copy_n(work.dk + c * e, e, problem.dk.data() + row);
    std::copy_n(work.dv + c * e, e, problem.dv.data() + row);
    if (problem.key_effect) problem.key_effect[list * problem.m() + key[c]] = work.key_effect[c];
  }
}

void BackwardKeys(const Problem& problem, const std::vector<KeyTile>& tiles, size_t t, Turns& turns,
                  Workspace& work) {
  const KeyTile& tile = tiles[t];
  const int64_t n = problem.n(), m = problem.m(), e = problem.e(), list = tile.list;
  const int32_t* query = problem.buckets.query_order.data() + list * n + tile.column_begin;
  const int32_t* key = problem.buckets.key_order.data() + list * m + tile.row_begin;
  const int64_t queries = tile.columns(), columns = tile.rows();
  const Matrix k = problem.Rows(problem.k, list).Gather(key, columns, work.k);
  const Matrix v = problem.Rows(problem.v, list).Gather(key, columns, work.v);
  std::fill_n(work.key_effect, kTileColumns, 0.0f);

  // Causal: the queries before the first key see none of them.
  const int64_t hidden =
      problem.options.causal ? CountUpTo(query, queries, key[0], /*inclusive=*/false) : 0;
  float beta = 0;
  for (int64_t begin = hidden / kTileRows * kTileRows; begin < queries; begin += kTileRows) {
    const int64_t rows = std::min(kTileRows, queries - begin);
    BackwardTile(problem, tile, tile.column_begin + begin, rows, k, v, beta, work);
    beta = 1;
    const int32_t end = static_cast<int32_t>(tile.column_begin + begin + rows);
    if (tile.shares_queries) turns.WaitFor(t - 1, end);
    for (int64_t r = 0; r < rows; ++r) {
      float* dq = problem.dq.data() + problem.Offset(list, n, query[begin + r]);
      AddTo(dq, work.dq + r * e, 1, e);
    }
    turns.Finish(t, end);
  }
  turns.Finish(t, std::numeric_limits<int32_t>::max());
  if (beta == 1) StoreKeys(problem, list, key, columns, work);
}

void ComputeDelta(const Problem& problem) {
  const int64_t n = problem.n(), H = problem.q.shape()[2], e = problem.e();
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < problem.delta.count(); ++row) {
    const int64_t offset = ((row / n / H * n + row % n) * H + row / n % H) * e;
    problem.delta[row] = Dot(problem.d_o.data() + offset, problem.o.data() + offset, e);
  }
}

}  // namespace
}  // namespace cpu

void cpu::TfBackward(Context& ctx, const TfGradients& gradients, In d_o, In o, In lse,
                     const TfOperands& operands) {
  const auto& [dq, dk, dv, delta, key_effect] = gradients;
  const auto& [q, k, v, buckets, options] = operands;
  const Problem problem{dq, dk, dv, delta, key_effect, d_o,     q,
                        k,  v,  o,  lse,   buckets,    options, ctx.matmul_precision()};
  const int64_t e = problem.e();
  for (const Out& gradient : {dq, dk, dv}) Zero(ctx, gradient);
  if (key_effect) Zero(ctx, key_effect);
  ComputeDelta(problem);

  const std::vector<KeyTile> tiles = KeyTiles(buckets.query_range);
  Turns turns(tiles.size());
  std::atomic<size_t> next = 0;  // in order: a thread waits for tiles in progress alone
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> memory = scope.Take<float>({omp_get_max_threads(), Workspace::Count(e)});
#pragma omp parallel
  {
    Workspace work(memory.data() + omp_get_thread_num() * Workspace::Count(e), e);
    for (size_t t = next++; t < tiles.size(); t = next++) {
      BackwardKeys(problem, tiles, t, turns, work);
    }
  }
}

}  // namespace treeformer
