#pragma once

// The dense gradient of a binary tree on a GPU (soft_tree.h).
//
//   x, dx  bfloat16     effect, weight, bias, strength, dweight, dbias  float32
//   Scores        df = f = weight x + bias           [B, H, n, P]
//   Rows          df = dL/df in its place, a warp a row
//   WeightParts   df^T x over some of the rows, dbias as one more column of ones; AddWeights adds
//                 the parts in order
//   Inputs        dx += df weight, all heads that read the row at once: rounded once
// The products are plain float32: |f| <= 1 and f > 0 are decided as precisely as in Route.

#include <algorithm>
#include <limits>

#include "kernels/tree/tf/tile_product.cuh"

namespace treeformer::cuda {

constexpr int kSoftThreads = 64;
constexpr int kSoftPartRows = 1024;

struct SoftSizes {
  int64_t B, n, x_heads, H, E;
  int height;
  bool same_effect;  // for all rows of a tree

  DEVICE int64_t x_row(int64_t b, int64_t i, int64_t h) const {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
  }
  constexpr int64_t leaves() const { return int64_t{1} << height; }  // L
  constexpr int64_t planes() const { return leaves() - 1; }          // P
  constexpr int64_t trees() const { return B * H; }
  constexpr int64_t tiles() const { return DivideUp(n, kProductTile); }
  constexpr int64_t parts() const { return DivideUp(B * n, kSoftPartRows); }
};

struct SoftArguments {
  const float* effect;
  const BFloat16* x;
  const float *weight, *bias, *strength;
  const int32_t* leaf;
  float* df;    // [B, H, n, P]
  float* part;  // [parts, H, P, E + 1]

  DEVICE bool Passes(int64_t row) const {  // not padding, no NaN scores
    return leaf[row] >= 0 && fabsf(strength[row]) <= std::numeric_limits<float>::max();
  }
};

// Block x: 64 rows of a tree, y: 64 planes.
KERNEL(kProductThreads) SoftScoresKernel(const SoftArguments arguments, const SoftSizes sizes) {
  device::SharedArrays shared;
  const ProductMemory memory(shared);
  const int64_t tree = device::BlockX() / sizes.tiles(), b = tree / sizes.H, h = tree % sizes.H;
  const int64_t i0 = device::BlockX() % sizes.tiles() * kProductTile, P = sizes.planes();
  const int64_t t0 = int64_t{device::BlockY()} * kProductTile;
  float f[4][4] = {};
  MultiplyTile(
      f, sizes.E, memory,
      [&](int row, int64_t c) {
        const int64_t i = i0 + row;
        return i < sizes.n ? device::ToFloat(arguments.x[sizes.x_row(b, i, h) + c]) : 0;
      },
      [&](int64_t c, int column) {
        const int64_t t = t0 + column;
        return t < P ? arguments.weight[(h * P + t) * sizes.E + c] : 0;
      });
  ForEachOfTile(f, [&](int row, int column, float value) {
    const int64_t i = i0 + row, t = t0 + column;
    if (i < sizes.n && t < P) {
      arguments.df[(tree * sizes.n + i) * P + t] = value + arguments.bias[h * P + t];
    }
  });
}

// pi of all nodes, breadth first (binary_heap.h), from the row's scores.  Collective.
DEVICE void SoftProbabilities(float* pi, const float* f, float strength, int32_t leaf, int height) {
  const float decay = device::Exp(-2 * strength);
  const float along = 1 / (1 + decay), against = decay / (1 + decay);
  if (device::Lane() == 0) pi[0] = 1;
  for (int level = 0; level < height; ++level) {
    device::WarpBarrier();
    const int first = (1 << level) - 1, on_path = first + (leaf >> (height - level));
    for (int t = first + device::Lane(); t <= 2 * first; t += device::kWarpThreads) {
      const bool right = t == on_path ? (leaf >> (height - level - 1)) % 2 == 1 : f[t] > 0;
      pi[2 * t + 1] = pi[t] * (right ? against : along);
      pi[2 * t + 2] = pi[t] * (right ? along : against);
    }
  }
  device::WarpBarrier();
}

// G of all nodes.  Collective.
DEVICE void SoftSums(float* G, const float* pi, const float* effect, int height) {
  const int P = (1 << height) - 1;
  for (int m = device::Lane(); m <= P; m += device::kWarpThreads) G[P + m] = pi[P + m] * effect[m];
  for (int level = height - 1; level >= 0; --level) {
    device::WarpBarrier();
    const int first = (1 << level) - 1;
    for (int t = first + device::Lane(); t <= 2 * first; t += device::kWarpThreads) {
      G[t] = G[2 * t + 1] + G[2 * t + 2];
    }
  }
  device::WarpBarrier();
}

// A warp a row: pi and G [2 L] each in shared memory.
KERNEL(kSoftThreads, 16) SoftRowsKernel(const SoftArguments arguments, const SoftSizes sizes) {
  constexpr int kWarps = kSoftThreads / device::kWarpThreads;
  const int L = static_cast<int>(sizes.leaves()), P = L - 1;
  device::SharedArrays shared;
  float* pi = shared.Take<float>(kWarps * 4 * L) + device::Warp() * 4 * L;
  float* G = pi + 2 * L;
  const int64_t row = int64_t{device::BlockX()} * kWarps + device::Warp();
  if (row >= sizes.trees() * sizes.n) return;
  float* df = arguments.df + row * P;
  if (!arguments.Passes(row)) {
    for (int t = device::Lane(); t < P; t += device::kWarpThreads) df[t] = 0;
    return;
  }
  const float strength = arguments.strength[row];
  const int64_t effect_row = sizes.same_effect ? row / sizes.n : row;
  SoftProbabilities(pi, df, strength, arguments.leaf[row], sizes.height);
  SoftSums(G, pi, arguments.effect + effect_row * L, sizes.height);
  for (int t = device::Lane(); t < P; t += device::kWarpThreads) {
    const float da =
        strength * ((G[2 * t + 2] - G[2 * t + 1]) - G[0] * (pi[2 * t + 2] - pi[2 * t + 1]));
    df[t] = fabsf(df[t]) <= 1 ? 2 * da : 0;
  }
}

// Block x: a part of the rows, a head, 64 planes; y: 64 of E + 1 columns.  The x of rows that pass
// no gradient may be NaN.
KERNEL(kProductThreads)
SoftWeightPartsKernel(const SoftArguments arguments, const SoftSizes sizes) {
  device::SharedArrays shared;
  const ProductMemory memory(shared);
  const int64_t P = sizes.planes(), plane_tiles = DivideUp(P, kProductTile);
  const int64_t t0 = device::BlockX() % plane_tiles * kProductTile;
  const int64_t h = device::BlockX() / plane_tiles % sizes.H;
  const int64_t part = device::BlockX() / plane_tiles / sizes.H;
  const int64_t c0 = int64_t{device::BlockY()} * kProductTile;
  const int64_t begin = part * kSoftPartRows, left = sizes.B * sizes.n - begin;
  const auto tree_row = [&](int64_t k) {
    return ((begin + k) / sizes.n * sizes.H + h) * sizes.n + (begin + k) % sizes.n;
  };
  float sum[4][4] = {};
  MultiplyTile(
      sum, left < kSoftPartRows ? left : kSoftPartRows, memory,
      [&](int row, int64_t k) {
        return t0 + row < P ? arguments.df[tree_row(k) * P + t0 + row] : 0;
      },
      [&](int64_t k, int column) {
        const int64_t c = c0 + column;
        if (c >= sizes.E || !arguments.Passes(tree_row(k))) return c == sizes.E ? 1.0f : 0.0f;
        const int64_t b = (begin + k) / sizes.n, i = (begin + k) % sizes.n;
        return device::ToFloat(arguments.x[sizes.x_row(b, i, h) + c]);
      });
  ForEachOfTile(sum, [&](int row, int column, float value) {
    const int64_t t = t0 + row, c = c0 + column;
    if (t < P && c <= sizes.E) {
      arguments.part[((part * sizes.H + h) * P + t) * (sizes.E + 1) + c] = value;
    }
  });
}

KERNEL(kProductThreads)
SoftAddWeightsKernel(float* dweight, float* dbias, const float* part, const SoftSizes sizes) {
  const int64_t count = sizes.H * sizes.planes() * (sizes.E + 1);
  const int64_t k = int64_t{device::BlockX()} * kProductThreads + device::Thread();
  if (k >= count) return;
  float sum = 0;
  for (int64_t p = 0; p < sizes.parts(); ++p) sum += part[p * count + k];
  const int64_t plane = k / (sizes.E + 1), c = k % (sizes.E + 1);
  float* to = c == sizes.E ? dbias + plane : dweight + plane * sizes.E + c;
  *to += sum;
}

// Block x: 64 rows of one head of x, y: 64 columns.
KERNEL(kProductThreads)
SoftInputsKernel(BFloat16* dx, const SoftArguments arguments, const SoftSizes sizes) {
  device::SharedArrays shared;
  const ProductMemory memory(shared);
  const int64_t P = sizes.planes(), tiles = sizes.tiles();
  const int64_t i0 = device::BlockX() % tiles * kProductTile;
  const int64_t h0 = device::BlockX() / tiles % sizes.x_heads;
  const int64_t b = device::BlockX() / tiles / sizes.x_heads;
  const int64_t c0 = int64_t{device::BlockY()} * kProductTile;
  float sum[4][4] = {};
  MultiplyTile(
      sum, sizes.x_heads == 1 ? sizes.H * P : P, memory,
      [&](int row, int64_t k) {
        const int64_t i = i0 + row, h = h0 + k / P;
        return i < sizes.n ? arguments.df[((b * sizes.H + h) * sizes.n + i) * P + k % P] : 0;
      },
      [&](int64_t k, int column) {
        const int64_t c = c0 + column;
        return c < sizes.E ? arguments.weight[(h0 * P + k) * sizes.E + c] : 0;
      });
  ForEachOfTile(sum, [&](int row, int column, float value) {
    const int64_t i = i0 + row, c = c0 + column;
    if (i >= sizes.n || c >= sizes.E) return;
    BFloat16* to = dx + sizes.x_row(b, i, h0) + c;
    *to = device::ToBFloat16(device::ToFloat(*to) + value);
  });
}

constexpr int kBalanceThreads = 256;
constexpr int kBalanceLeaves = 2048;  // that a block counts
constexpr int kBalanceSharedBytes =
    (kBalanceLeaves + kBalanceThreads / device::kWarpThreads) * static_cast<int>(sizeof(int));

// effect [trees, L] = weight L count / rows^2: block x a tree, y some of its leaves.  Integer sums,
// so their order does not matter.
KERNEL(kBalanceThreads)
BalanceEffectKernel(float* effect, const int32_t* leaf, int64_t n, int64_t L, float weight) {
  device::SharedArrays shared;
  int* count = shared.Take<int>(kBalanceLeaves);
  int* sums = shared.Take<int>(kBalanceThreads / device::kWarpThreads);
  const int64_t first = int64_t{device::BlockY()} * kBalanceLeaves;
  for (int m = device::Thread(); m < kBalanceLeaves; m += kBalanceThreads) count[m] = 0;
  device::BlockBarrier();
  leaf += device::BlockX() * n;
  int rows = 0;
  for (int64_t i = device::Thread(); i < n; i += kBalanceThreads) {
    if (leaf[i] < 0) continue;
    ++rows;
    if (first <= leaf[i] && leaf[i] < first + kBalanceLeaves) {
      device::AtomicAdd(count + (leaf[i] - first), 1);
    }
  }
  rows = device::BlockSum<kBalanceThreads>(rows, sums);  // its barriers: all have counted
  const float scale = rows == 0 ? 0 : weight * static_cast<float>(L) / rows / rows;
  for (int m = device::Thread(); m < kBalanceLeaves && first + m < L; m += kBalanceThreads) {
    effect[device::BlockX() * L + first + m] = scale * static_cast<float>(count[m]);
  }
}

template <typename Runner>
void RunSoftTreeBackward(Runner& runner, float* dweight, float* dbias, BFloat16* dx,
                         const float* effect, const BFloat16* x, const float* weight,
                         const float* bias, const float* strength, const int32_t* leaf,
                         const SoftSizes& sizes) {
  const int64_t rows = sizes.trees() * sizes.n, P = sizes.planes();
  const int64_t weights = sizes.H * P * (sizes.E + 1), plane_tiles = DivideUp(P, kProductTile);
  float* df = runner.template Take<float>(rows * P);
  float* part = runner.template Take<float>(sizes.parts() * weights);
  const SoftArguments arguments{effect, x, weight, bias, strength, leaf, df, part};
  runner.Launch(SoftScoresKernel, Blocks{sizes.trees() * sizes.tiles(), plane_tiles},
                kProductThreads, kProductSharedBytes, arguments, sizes);
  constexpr int kWarps = kSoftThreads / device::kWarpThreads;
  runner.Launch(SoftRowsKernel, Blocks{DivideUp(rows, kWarps)}, kSoftThreads,
                kWarps * 4 * sizes.leaves() * static_cast<int64_t>(sizeof(float)), arguments,
                sizes);
  runner.Launch(SoftWeightPartsKernel,
                Blocks{sizes.parts() * sizes.H * plane_tiles, DivideUp(sizes.E + 1, kProductTile)},
                kProductThreads, kProductSharedBytes, arguments, sizes);
  runner.Launch(SoftAddWeightsKernel, Blocks{DivideUp(weights, kProductThreads)}, kProductThreads,
                0, dweight, dbias, part, sizes);
  runner.Launch(SoftInputsKernel,
                Blocks{sizes.B * sizes.x_heads * sizes.tiles(), DivideUp(sizes.E, kProductTile)},
                kProductThreads, kProductSharedBytes, dx, arguments, sizes);
}

template <typename Runner>
void RunBalanceEffect(Runner& runner, float* effect, const int32_t* leaf, int64_t trees, int64_t n,
                      int64_t leaves, float weight) {
  runner.Launch(BalanceEffectKernel, Blocks{trees, DivideUp(leaves, kBalanceLeaves)},
                kBalanceThreads, kBalanceSharedBytes, effect, leaf, n, leaves, weight);
}

}  // namespace treeformer::cuda
