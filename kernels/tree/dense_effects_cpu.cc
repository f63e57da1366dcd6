#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/tree/dense_effects.h"
#include "kernels/tree/documents.h"
#include "kernels/tree/tile_gemm.h"

namespace cpu {
namespace {

constexpr int64_t kQueries = 64, kKeys = 256;  // of a tile of scores

// The rows of one side of one document, sorted by leaf, so that a leaf's rows of a tile are one
// segment.  `first` and `second` are q and dO, or k and v, copied in that order.
struct SortedRows {
  std::vector<int32_t> position, leaf;
  std::vector<float> first, second;

  void Fill(View<const float> x, View<const float> y, const int32_t* leaf_of, int64_t b, int64_t h,
            int64_t begin, int64_t end) {
    const int64_t n = x.shape()[1], H = x.shape()[2], e = x.shape()[3], rows = end - begin;
    position.resize(rows);
    leaf.resize(rows);
    first.resize(rows * e);
    second.resize(rows * e);
    std::iota(position.begin(), position.end(), static_cast<int32_t>(begin));
    std::stable_sort(position.begin(), position.end(),
                     [&](int32_t i, int32_t j) { return leaf_of[i] < leaf_of[j]; });
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t offset = ((b * n + position[r]) * H + h) * e;
      leaf[r] = leaf_of[position[r]];
      CHECK_GE(leaf[r], 0) << "a token of a document has a leaf";
      std::copy_n(x.data() + offset, e, first.data() + r * e);
      std::copy_n(y.data() + offset, e, second.data() + r * e);
    }
  }
  int64_t count() const { return static_cast<int64_t>(position.size()); }
};

struct Memory {
  SortedRows queries, keys;  // (q, dO) and (k, v)
  std::vector<float> S = std::vector<float>(kQueries * kKeys);
  std::vector<float> dP = std::vector<float>(kQueries * kKeys);
  std::vector<float> lse = std::vector<float>(kQueries);
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

// lse of the queries [i, i + rows): of the own leaf, of all keys where that is empty.
void FillLse(const Head& head, Memory& memory, int64_t i, int64_t rows) {
  const SortedRows &queries = memory.queries, &keys = memory.keys;
  bool any_empty = false;
  for (int64_t r = 0; r < rows; ++r) {
    memory.lse[r] = head.lse[queries.position[i + r]];
    any_empty |= memory.lse[r] == -INFINITY;
  }
  if (!any_empty || head.options.terms == DenseTerms::kInLeaf) return;
  std::vector<float> max(rows, -INFINITY), sum(rows, 0.0f);
  for (int64_t j = 0; j < keys.count(); j += kKeys) {
    const int64_t columns = std::min(kKeys, keys.count() - j);
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

float Weight(float log_weight, bool in_leaf, const DenseOptions& options) {
  switch (options.terms) {
    case DenseTerms::kClamped:
      return std::min(std::exp(log_weight), options.clamp);
    case DenseTerms::kBounded:
      return in_leaf ? std::exp(log_weight) : 1 / (1 + std::exp(-log_weight));
    default:
      return in_leaf ? std::exp(log_weight) : 0;
  }
}

// S becomes X; S and dP are given.
void Terms(const Head& head, Memory& memory, int64_t i, int64_t rows, int64_t j, int64_t columns) {
  const SortedRows &queries = memory.queries, &keys = memory.keys;
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t position = queries.position[i + r], leaf = queries.leaf[i + r];
    const float delta = head.delta[position];
    for (int64_t c = 0; c < columns; ++c) {
      float& s = memory.S[r * kKeys + c];
      if (head.options.causal && keys.position[j + c] > position) {
        s = 0;
      } else {
        s = Weight(s - memory.lse[r], keys.leaf[j + c] == leaf, head.options) *
            (memory.dP[r * kKeys + c] - delta);
      }
    }
  }
}

// visit(begin, end) for the runs of equal leaves of [begin, end)
template <typename Visit>
void ForEachSegment(const std::vector<int32_t>& leaf, int64_t begin, int64_t end,
                    const Visit& visit) {
  for (int64_t last; begin < end; begin = last) {
    for (last = begin + 1; last < end && leaf[last] == leaf[begin];) ++last;
    visit(begin, last);
  }
}

void AddTile(const Head& head, Memory& memory, int64_t i, int64_t rows, int64_t j,
             int64_t columns) {
  const SortedRows &queries = memory.queries, &keys = memory.keys;
  for (int64_t r = 0; r < rows; ++r) {
    float* effect = head.query_effect + queries.position[i + r] * head.L;
    const float* X = memory.S.data() + r * kKeys;
    ForEachSegment(keys.leaf, j, j + columns, [&](int64_t begin, int64_t end) {
      float sum = 0;
      for (int64_t c = begin; c < end; ++c) sum += X[c - j];
      effect[keys.leaf[begin]] += sum;
    });
  }
  ForEachSegment(queries.leaf, i, i + rows, [&](int64_t begin, int64_t end) {
    std::fill_n(memory.column.begin(), columns, 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      AddTo(memory.column.data(), memory.S.data() + (r - i) * kKeys, /*factor=*/1, columns);
    }
    for (int64_t c = 0; c < columns; ++c) {
      head.key_effect[keys.position[j + c] * head.L + queries.leaf[begin]] += memory.column[c];
    }
  });
}

void AddDocument(const Head& head, Memory& memory) {
  const int64_t e = head.e, count = memory.queries.count();
  for (int64_t i = 0; i < count; i += kQueries) {
    const int64_t rows = std::min(kQueries, count - i);
    FillLse(head, memory, i, rows);
    for (int64_t j = 0; j < count; j += kKeys) {
      const int64_t columns = std::min(kKeys, count - j);
      Scores(memory, i, rows, j, columns, e);
      GemmNT(rows, columns, e, /*alpha=*/1, {memory.queries.second.data() + i * e, e},
             {memory.keys.second.data() + j * e, e}, memory.dP.data(), kKeys);
      Terms(head, memory, i, rows, j, columns);
      AddTile(head, memory, i, rows, j, columns);
    }
  }
}

}  // namespace

void DenseLeafEffects(Context&, Out query_effect_any, Out key_effect_any, In d_o_any, In q_any,
                      In k_any, In v_any, In lse_any, In delta_any, Ids query_leaf, Ids key_leaf,
                      Ids document, const DenseOptions& options) {
  const View<float> query_effect = query_effect_any, key_effect = key_effect_any;
  const View<const float> d_o = d_o_any, q = q_any, k = k_any, v = v_any;
  const View<const float> lse = lse_any, delta = delta_any;
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

}  // namespace cpu
