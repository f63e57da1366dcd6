#pragma once

// FLIP's probes (tf_attention.h, FlipGains): what the loss would change by, in first order, if a
// row moved to its alternative leaf.
//
//   FlipQueryGainKernel   blocks own queries by their alternative leaf, stream that leaf's keys and
//                         values: as TF attention forward, with dP in the place of the values
//   FlipKeyGainKernel     blocks own keys by their alternative leaf, stream that leaf's queries and
//                         dO: as TF attention backward, with p+ in the place of p
//
// Two products each, S and dP; weights and sums stay float32.  No dropout.

#include "kernels/tree/tf/tf_softmax.cuh"

namespace treeformer::cuda {

// gain = sum_j p'_ij dP_ij - D_i;  a query whose alternative leaf has no keys: -D_i.
template <int e>
KERNEL(kTfThreads)
FlipQueryGainKernel(const TfProblem p, float* gain, const BFloat16* d_o, const float* delta) {
  auto& shared = TfShared<e, 2>::OfBlock();
  const TfOwnRows own(shared, p, p.queries);
  const TfRange block = own.BlockHull(), warp = own.WarpHull();
  const TfHead<e> head(p, own.list);
  const TfRowPair rows(own);
  TfStream<e, 2> keys(shared, p, own.list, block, p.keys.order, p.k, p.v);
  if (keys.tiles() > 0) {
    GatherTile<e>(shared.own[0], p.q, head, own.position(), own.count);
    GatherTile<e>(shared.own[1], d_o, head, own.position(), own.count);
    keys.Start();
  }

  TfOwnFragments<e, /*kInRegisters=*/true> queries, gradients;
  TfSoftmax softmax;
  float sum[2] = {0, 0};  // of this lane's columns
  for (int tile = 0; tile < keys.tiles(); ++tile) {
    keys.Await(tile);
    if (tile == 0) queries.Read(shared.own[0]), gradients.Read(shared.own[1]);
    const int first = keys.first_slot(tile);
    if (!warp.Meets(first, kTfRows)) continue;
    float weight[8][4] = {}, correction[2];
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      queries.AddProducts(weight[2 * slice], weight[2 * slice + 1], keys.x(tile), slice);
    }
    softmax.Update(weight, correction, p.scale * kLog2E, rows, first);
    sum[0] *= correction[0], sum[1] *= correction[1];
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      float dp[2][4] = {};
      gradients.AddProducts(dp[0], dp[1], keys.y(tile), slice);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) sum[c / 2] += weight[2 * slice + i][c] * dp[i][c];
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = RowReduce(softmax.sum[half], device::Sum());
    const float weighted = RowReduce(sum[half], device::Sum());
    const int64_t row = int64_t{own.list} * p.n + rows.position[half];
    if (rows.exists[half] && device::Lane() % 4 == 0) {
      gain[row] = (total > 0 ? weighted / total : 0) - delta[row];
    }
  }
}

// p+ = exp(s) / (exp(lse) + exp(s)) of a pair; far below lse it is 1 / infinity = 0.
DEVICE float JoiningWeight(float s, float lse) {
  return device::Reciprocal(1 + device::Exp(lse - s));
}

// gain = sum_i p+_ij (dP_ij - D_i) - key_effect_j;  p+ of a query that has no keys is 1.  As many
// blocks as shared memory has room for: without the number ptxas saves registers and spills.
template <int e>
KERNEL(kTfThreads, e <= 64 ? 4 : 2)
FlipKeyGainKernel(const TfProblem p, float* gain, const BFloat16* d_o, const float* lse,
                  const float* delta, const float* key_effect) {
  auto& shared = TfShared<e, 2>::OfBlock();
  const TfOwnRows own(shared, p, p.keys);
  const TfRange block = own.BlockHull(), warp = own.WarpHull();
  const TfHead<e> head(p, own.list);
  const TfRowPair rows(own);
  TfStream<e, 2> queries(shared, p, own.list, block, p.queries.order, p.q, d_o, lse, delta);
  if (queries.tiles() > 0) {
    GatherTile<e>(shared.own[0], p.k, head, own.position(), own.count);
    GatherTile<e>(shared.own[1], p.v, head, own.position(), own.count);
    queries.Start();
  }

  TfOwnFragments<e, /*kInRegisters=*/true> keys, values;
  float sum[2] = {0, 0};  // of this lane's columns
  for (int tile = 0; tile < queries.tiles(); ++tile) {
    queries.Await(tile);
    if (tile == 0) keys.Read(shared.own[0]), values.Read(shared.own[1]);
    const int first = queries.first_slot(tile);
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      float s[2][4] = {}, dp[2][4] = {};
      keys.AddProducts(s[0], s[1], queries.x(tile), slice);
      values.AddProducts(dp[0], dp[1], queries.y(tile), slice);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int column = 16 * slice + TfColumn(i, c);
          const float weight = JoiningWeight(s[i][c] * p.scale, queries.lse(tile, column));
          const float effect = weight * (dp[i][c] - queries.delta(tile, column));
          sum[c / 2] += rows.range[c / 2].Holds(first + column) ? effect : 0;
        }
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = RowReduce(sum[half], device::Sum());
    const int64_t row = int64_t{own.list} * p.n + rows.position[half];
    if (rows.exists[half] && device::Lane() % 4 == 0) gain[row] = total - key_effect[row];
  }
}

}  // namespace treeformer::cuda
