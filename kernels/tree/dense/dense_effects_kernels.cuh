#pragma once

// DENSE on a GPU (dense_effects.h): a reference estimator for small n, clear before fast.
//
//   d_o, q, k, v  bfloat16     lse, delta, effects  float32
//   LogSums      lse of every query; of all keys that it sees where its own leaf is empty
//   Effects      a block per 64 rows of one side goes through the other side in tiles of 64:
//                S and dP by two products, X to shared memory, and then row r's effects belong to
//                the threads 4 r + (leaf % 4), which add X in ascending order

#include <limits>

#include "kernels/tree/dense/dense_effects.h"
#include "kernels/tree/tf/tile_product.cuh"

namespace treeformer::cuda {

struct DenseSizes {
  int64_t B, n, H, e, L;
  float scale;  // of scores

  DEVICE int64_t row(int64_t tree, int64_t i) const {
    return ((tree / H * n + i) * H + tree % H) * e;
  }
  constexpr int64_t trees() const { return B * H; }
  constexpr int64_t tiles() const { return DivideUp(n, kProductTile); }
};

struct DenseArguments {
  const BFloat16 *d_o, *q, *k, *v;
  const float *lse, *delta;
  const int32_t *query_leaf, *key_leaf, *document;

  // Whether query i of sequence b may see key j; positions past the end see nothing.
  DEVICE bool Paired(int64_t b, int64_t i, int64_t j, bool causal, int64_t n) const {
    if (i >= n || j >= n || (causal && j > i)) return false;
    const int32_t of_i = document[b * n + i];
    return of_i >= 0 && of_i == document[b * n + j];
  }
};

// A warp a row; lse 0 for padding.
KERNEL(kProductThreads)
DenseLogSumsKernel(float* lse, const DenseArguments arguments, const DenseSizes sizes,
                   bool causal) {
  constexpr int kWarps = kProductThreads / device::kWarpThreads;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int64_t row = int64_t{device::BlockX()} * kWarps + device::Warp();
  if (row >= sizes.trees() * sizes.n) return;
  const int64_t tree = row / sizes.n, i = row % sizes.n, b = tree / sizes.H;
  if (arguments.lse[row] != -kInfinity || arguments.document[b * sizes.n + i] < 0) {
    if (device::Lane() == 0) {
      lse[row] = arguments.document[b * sizes.n + i] < 0 ? 0 : arguments.lse[row];
    }
    return;
  }
  float max = -kInfinity, sum = 0;
  for (int64_t j = device::Lane(); j < sizes.n; j += device::kWarpThreads) {
    if (!arguments.Paired(b, i, j, causal, sizes.n)) continue;
    float score = 0;
    for (int64_t c = 0; c < sizes.e; ++c) {
      score += device::ToFloat(arguments.q[sizes.row(tree, i) + c]) *
               device::ToFloat(arguments.k[sizes.row(tree, j) + c]);
    }
    score *= sizes.scale;
    const float new_max = fmaxf(max, score);
    sum = sum * device::Exp(max - new_max) + device::Exp(score - new_max);
    max = new_max;
  }
  const float all_max = device::WarpMax(max);  // finite: the query sees itself
  sum = device::WarpSum(sum * device::Exp(max - all_max));
  if (device::Lane() == 0) lse[row] = all_max + 0.69314718f * device::Log2(sum);
}

DEVICE float DenseWeight(float score, float lse, bool in_leaf, const DenseOptions& options) {
  switch (options.terms) {
    case DenseTerms::kClamped:
      return fminf(device::Exp(score - lse), options.clamp);
    case DenseTerms::kBounded:
      return in_leaf ? device::Exp(score - lse) : 1 / (1 + device::Exp(lse - score));
    default:
      return in_leaf ? device::Exp(score - lse) : 0;
  }
}

constexpr int kDenseStride = kProductTile + 1;  // of X in shared memory
constexpr int kDenseSharedBytes = kProductSharedBytes + kProductTile * kDenseStride * 4;

// S or dP: 64 queries times 64 keys.
DEVICE void DenseProduct(float (&c)[4][4], const BFloat16* queries, const BFloat16* keys,
                         int64_t tree, int64_t i0, int64_t j0, const DenseSizes& sizes,
                         const ProductMemory& memory) {
  MultiplyTile(
      c, sizes.e, memory,
      [&](int row, int64_t x) {
        return i0 + row < sizes.n ? device::ToFloat(queries[sizes.row(tree, i0 + row) + x]) : 0;
      },
      [&](int64_t x, int column) {
        return j0 + column < sizes.n ? device::ToFloat(keys[sizes.row(tree, j0 + column) + x]) : 0;
      });
}

// X [64, kDenseStride] of a tile; 0 where a pair does not see each other.
DEVICE void DenseTerms64(float* X, const DenseArguments& arguments, int64_t tree, int64_t i0,
                         int64_t j0, const DenseSizes& sizes, const DenseOptions& options,
                         const ProductMemory& memory) {
  float S[4][4] = {}, dP[4][4] = {};
  DenseProduct(S, arguments.q, arguments.k, tree, i0, j0, sizes, memory);
  DenseProduct(dP, arguments.d_o, arguments.v, tree, i0, j0, sizes, memory);
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const int64_t i = i0 + ProductRow() + r, j = j0 + ProductColumn() + c;
      float term = 0;
      if (arguments.Paired(tree / sizes.H, i, j, options.causal, sizes.n)) {
        const int64_t query = tree * sizes.n + i, key = tree * sizes.n + j;
        const bool in_leaf = arguments.query_leaf[query] == arguments.key_leaf[key];
        const float w = DenseWeight(S[r][c] * sizes.scale, arguments.lse[query], in_leaf, options);
        term = w * (dP[r][c] - arguments.delta[query]);
      }
      X[(ProductRow() + r) * kDenseStride + ProductColumn() + c] = term;
    }
  }
}

// effect [B, H, n, L] of the keys, or of the queries.  Block x: 64 rows of a tree.
template <bool kOfKeys>
KERNEL(kProductThreads)
DenseEffectsKernel(float* effect, const DenseArguments arguments, const DenseSizes sizes,
                   const DenseOptions options) {
  device::SharedArrays shared;
  const ProductMemory memory(shared);
  float* X = shared.Take<float>(kProductTile * kDenseStride);
  const int64_t tree = device::BlockX() / sizes.tiles();
  const int64_t own0 = device::BlockX() % sizes.tiles() * kProductTile;
  const int32_t* other_leaf =
      (kOfKeys ? arguments.query_leaf : arguments.key_leaf) + tree * sizes.n;
  const int row = device::Thread() / 4, turn = device::Thread() % 4;
  const bool there = own0 + row < sizes.n;
  float* own = effect + (tree * sizes.n + own0 + row) * sizes.L;
  for (int64_t m = turn; there && m < sizes.L; m += 4) own[m] = 0;
  for (int64_t other0 = 0; other0 < sizes.n; other0 += kProductTile) {
    DenseTerms64(X, arguments, tree, kOfKeys ? other0 : own0, kOfKeys ? own0 : other0, sizes,
                 options, memory);
    device::BlockBarrier();
    for (int k = 0; there && k < kProductTile && other0 + k < sizes.n; ++k) {
      const int32_t leaf = other_leaf[other0 + k];
      if (leaf < 0 || leaf % 4 != turn) continue;
      own[leaf] += kOfKeys ? X[k * kDenseStride + row] : X[row * kDenseStride + k];
    }
    // X is overwritten after the barriers of the next products.
  }
}

template <typename Runner>
void RunDenseLeafEffects(Runner& runner, float* query_effect, float* key_effect,
                         DenseArguments arguments, const DenseSizes& sizes,
                         const DenseOptions& options) {
  const int64_t rows = sizes.trees() * sizes.n;
  constexpr int kWarps = kProductThreads / device::kWarpThreads;
  float* lse = runner.template Take<float>(rows);
  runner.Launch(DenseLogSumsKernel, Blocks{DivideUp(rows, kWarps)}, kProductThreads, 0, lse,
                arguments, sizes, options.causal);
  arguments.lse = lse;
  const Blocks blocks{sizes.trees() * sizes.tiles()};
  runner.Launch(DenseEffectsKernel<false>, blocks, kProductThreads, kDenseSharedBytes, query_effect,
                arguments, sizes, options);
  runner.Launch(DenseEffectsKernel<true>, blocks, kProductThreads, kDenseSharedBytes, key_effect,
                arguments, sizes, options);
}

}  // namespace treeformer::cuda
