#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/tree/dense/dense_tile.h"
#include "kernels/tree/documents.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kQueries = kDenseQueries, kKeys = kDenseKeys;  // of a tile of scores
constexpr int64_t kLanes = 16;                                   // the keys are padded to

// The rows of one side of one document, sorted by leaf, so that a leaf's rows of a tile are one
// segment.  `first` and `second` are q and dO, or k and v, copied in that order.
struct SortedRows {
  int64_t count = 0;
  std::vector<int32_t> position, leaf;  // padded to whole vectors
  std::vector<float> first, second;

  void Fill(View<const float> x, View<const float> y, const int32_t* leaf_of, int64_t b, int64_t h,
            int64_t begin, int64_t end) {
    const int64_t n = x.shape()[1], H = x.shape()[2], e = x.shape()[3], rows = end - begin;
    count = rows;
    position.assign(rows + kLanes, 0);
    leaf.assign(rows + kLanes, -1);
    first.resize(rows * e);
    second.resize(rows * e);
    std::iota(position.begin(), position.begin() + rows, static_cast<int32_t>(begin));
    std::stable_sort(position.begin(), position.begin() + rows,
                     [&](int32_t i, int32_t j) { return leaf_of[i] < leaf_of[j]; });
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t offset = ((b * n + position[r]) * H + h) * e;
      leaf[r] = leaf_of[position[r]];
      CHECK_GE(leaf[r], 0) << "a token of a document has a leaf";
      std::copy_n(x.data() + offset, e, first.data() + r * e);
      std::copy_n(y.data() + offset, e, second.data() + r * e);
    }
  }
};

struct Memory {
  SortedRows queries, keys;  // (q, dO) and (k, v)
  std::vector<float> S = std::vector<float>(kQueries * kKeys);
  std::vector<float> dP = std::vector<float>(kQueries * kKeys);
  std::vector<float> lse = std::vector<float>(kQueries);
  std::vector<float> delta = std::vector<float>(kQueries);
  std::vector<float> column = std::vector<float>(kKeys);
};

// One (b, h): the outputs and the rows' figures by position.
struct Head {
  float *query_effect, *key_effect;  // [n, L]
  const float *lse, *delta;          // [n]
  int64_t L, e;
  const DenseOptions& options;
};

void Scores(Memory& memory, int64_t i, int64_t rows, int64_t j, int64_t columns, int64_t e) {
  const float scale = 1 / std::sqrt(static_cast<float>(e));
  GemmNT(rows, columns, e, scale, {memory.queries.first.data() + i * e, e},
         {memory.keys.first.data() + j * e, e}, memory.S.data(), kKeys);
}

// delta and lse of the queries [i, i + rows): of the own leaf, of all keys where that is empty.
void FillRows(const Head& head, Memory& memory, int64_t i, int64_t rows) {
  const SortedRows &queries = memory.queries, &keys = memory.keys;
  bool any_empty = false;
  for (int64_t r = 0; r < rows; ++r) {
    memory.lse[r] = head.lse[queries.position[i + r]];
    memory.delta[r] = head.delta[queries.position[i + r]];
    any_empty |= memory.lse[r] == -INFINITY;
  }
  if (!any_empty || head.options.terms == DenseTerms::kInLeaf) return;
  std::vector<float> max(rows, -INFINITY), sum(rows, 0.0f);
  for (int64_t j = 0; j < keys.count; j += kKeys) {
    const int64_t columns = std::min(kKeys, keys.count - j);
    Scores(memory, i, rows, j, columns, head.e);
    for (int64_t r = 0; r < rows; ++r) {
      if (head.lse[queries.position[i + r]] != -INFINITY) continue;
      for (int64_t c = 0; c < columns; ++c) {
        if (head.options.causal && keys.position[j + c] > queries.position[i + r]) continue;
        const float s = memory.S[r * kKeys + c], new_max = std::max(max[r], s);
        sum[r] = sum[r] * std::exp(max[r] - new_max) + std::exp(s - new_max);
        max[r] = new_max;
      }
      memory.lse[r] = max[r] + std::log(sum[r]);
    }
  }
}

// The runs of equal leaves of [begin, end), counted from begin.
std::vector<LeafRun> LeafRuns(const SortedRows& rows, int64_t begin, int64_t end) {
  std::vector<LeafRun> runs;
  for (int64_t r = begin; r < end; ++r) {
    if (runs.empty() || runs.back().leaf != rows.leaf[r]) {
      runs.push_back({rows.leaf[r], r - begin, r - begin});
    }
    ++runs.back().end;
  }
  return runs;
}

// X of the tile is in S.
void AddTile(const Head& head, Memory& memory, int64_t i, int64_t rows, int64_t j,
             int64_t columns) {
  const SortedRows &queries = memory.queries, &keys = memory.keys;
  const std::vector<LeafRun> key_runs = LeafRuns(keys, j, j + columns);
  for (int64_t r = 0; r < rows; ++r) {
    AddLeafSums(head.query_effect + queries.position[i + r] * head.L, memory.S.data() + r * kKeys,
                key_runs);
  }
  for (const LeafRun& run : LeafRuns(queries, i, i + rows)) {
    std::fill_n(memory.column.begin(), columns, 0.0f);
    for (int64_t r = run.begin; r < run.end; ++r) {
      AddTo(memory.column.data(), memory.S.data() + r * kKeys, /*factor=*/1, columns);
    }
    for (int64_t c = 0; c < columns; ++c) {
      head.key_effect[keys.position[j + c] * head.L + run.leaf] += memory.column[c];
    }
  }
}

void AddDocument(const Head& head, Memory& memory) {
  const int64_t e = head.e, count = memory.queries.count;
  for (int64_t i = 0; i < count; i += kQueries) {
    const int64_t rows = std::min(kQueries, count - i);
    FillRows(head, memory, i, rows);
    for (int64_t j = 0; j < count; j += kKeys) {
      const int64_t columns = std::min(kKeys, count - j);
      Scores(memory, i, rows, j, columns, e);
      GemmNT(rows, columns, e, /*alpha=*/1, {memory.queries.second.data() + i * e, e},
             {memory.keys.second.data() + j * e, e}, memory.dP.data(), kKeys);
      DenseTileTerms(memory.S.data(), memory.dP.data(),
                     {rows, columns, memory.lse.data(), memory.delta.data(),
                      memory.queries.leaf.data() + i, memory.queries.position.data() + i,
                      memory.keys.leaf.data() + j, memory.keys.position.data() + j},
                     head.options);
      AddTile(head, memory, i, rows, j, columns);
    }
  }
}

}  // namespace
}  // namespace cpu

void cpu::DenseLeafEffects(Context&, Out query_effect_any, Out key_effect_any,
                           const DenseOperands& operands) {
  const View<float> query_effect = query_effect_any, key_effect = key_effect_any;
  const View<const float> d_o = operands.d_o, q = operands.q, k = operands.k, v = operands.v;
  const View<const float> lse = operands.lse, delta = operands.delta;
  const Ids query_leaf = operands.query_leaf, key_leaf = operands.key_leaf;
  const Ids document = operands.document;
  const DenseOptions& options = operands.options;
  const int64_t B = q.shape()[0], n = q.shape()[1], H = q.shape()[2], e = q.shape()[3];
  const int64_t L = query_effect.shape()[3];
#pragma omp parallel
  {
    Memory memory;
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t rows = (b * H + h) * n;
        const Head head{query_effect.data() + rows * L,
                        key_effect.data() + rows * L,
                        lse.data() + rows,
                        delta.data() + rows,
                        L,
                        e,
                        options};
        std::fill_n(head.query_effect, n * L, 0.0f);
        std::fill_n(head.key_effect, n * L, 0.0f);
        ForEachDocument(document.data() + b * n, n, [&](int64_t begin, int64_t end) {
          memory.queries.Fill(q, d_o, query_leaf.data() + rows, b, h, begin, end);
          memory.keys.Fill(k, v, key_leaf.data() + rows, b, h, begin, end);
          AddDocument(head, memory);
        });
      }
    }
  }
}

}  // namespace treeformer
