#pragma once

// TF attention backward (tf_attention.h), for fixed routing.  P is computed again from S and lse.
//
//   TfQueryGradientKernel   blocks own queries, stream keys and values: delta, then dq
//   TfKeyGradientKernel     blocks own keys, stream queries and dO:     dk, dv, key_effect
//
// Every sum has one owner: no atomics, the same bits on every run.  P and dS are float32, rounded
// to bfloat16 as operands of products.

#include "kernels/tree/tf/tf_tiles.cuh"

namespace treeformer::cuda {

// What one pair (query i, key j) contributes.
struct TfPair {
  float weight;  // dropout(p) without its scale
  float ds;      // p (dP - D)
};

// s = <q, k>, dp = <dO, v>.
DEVICE TfPair PairGradient(const TfProblem& p, bool visible, bool kept, float s, float dp,
                           float lse, float delta) {
  if (!visible) return {0, 0};
  const float weight = device::Exp2((s * p.scale - lse) * kLog2E);
  return {kept ? weight : 0, weight * ((kept ? dp * p.dropout.scale() : 0) - delta)};
}

// <a, b> of two rows, by the four lanes that share them.
template <int e>
DEVICE float RowProduct(const BFloat16* a, const BFloat16* b) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < e / 32; ++i) {
    const int column = (device::Lane() % 4 + 4 * i) * 8;
    float x[8], y[8];
    device::Unpack(x, device::Load<device::Vector16>(a + column));
    device::Unpack(y, device::Load<device::Vector16>(b + column));
#pragma unroll
    for (int c = 0; c < 8; ++c) sum += x[c] * y[c];
  }
  return RowReduce(sum, device::Sum());
}

template <int e, bool kDropout>
KERNEL(kTfThreads)
TfQueryGradientKernel(const TfProblem p, BFloat16* dq, float* delta, const BFloat16* d_o,
                      const BFloat16* o, const float* lse) {
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
  float row_lse[2], row_delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // a row that does not exist has the position 0
    const int64_t row = int64_t{own.list} * p.n + rows.position[half];
    row_lse[half] = lse[row];
    row_delta[half] =
        RowProduct<e>(head.Row(d_o, rows.position[half]), head.Row(o, rows.position[half]));
    if (rows.exists[half] && device::Lane() % 4 == 0) delta[row] = row_delta[half];
  }

  TfOwnFragments<e, /*kInRegisters=*/true> queries, gradients;
  float sum[e / 8][4] = {};
  for (int tile = 0; tile < keys.tiles(); ++tile) {
    keys.Await(tile);
    if (tile == 0) queries.Read(shared.own[0]), gradients.Read(shared.own[1]);
    const int first = keys.first_slot(tile);
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      float s[2][4] = {}, dp[2][4] = {};
      queries.AddProducts(s[0], s[1], keys.x(tile), slice);
      gradients.AddProducts(dp[0], dp[1], keys.y(tile), slice);
      uint32_t keep = 0xff;
      if constexpr (kDropout) {
        keep = KeepMask</*kOwnQueries=*/true>(p, own.list, rows, keys, tile, 16 * slice, 8);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int half = c / 2, column = 16 * slice + TfColumn(i, c);
          s[i][c] = PairGradient(p, rows.range[half].Holds(first + column), keep >> (4 * i + c) & 1,
                                 s[i][c], dp[i][c], row_lse[half], row_delta[half])
                        .ds;
        }
      }
      uint32_t ds[4];
      PackA(ds, s[0], s[1]);
      AddProduct<e>(sum, ds, keys.x(tile), slice);
    }
  }
  StoreOwnRows<e>(dq, sum, {p.scale, p.scale}, shared.own[0], head, own);
}

// key_effect may be null.
template <int e, bool kDropout>
KERNEL(kTfThreads)
TfKeyGradientKernel(const TfProblem p, BFloat16* dk, BFloat16* dv, float* key_effect,
                    const BFloat16* d_o, const float* lse, const float* delta) {
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

  TfOwnFragments<e, /*kInRegisters=*/(e <= 64)> keys, values;
  float dk_sum[e / 8][4] = {}, dv_sum[e / 8][4] = {}, effect[2] = {};
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
      uint32_t keep = 0xff;
      if constexpr (kDropout) {
        keep = KeepMask</*kOwnQueries=*/false>(p, own.list, rows, queries, tile, 16 * slice, 8);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int half = c / 2, column = 16 * slice + TfColumn(i, c);
          const TfPair pair = PairGradient(p, rows.range[half].Holds(first + column),
                                           keep >> (4 * i + c) & 1, s[i][c], dp[i][c],
                                           queries.lse(tile, column), queries.delta(tile, column));
          s[i][c] = pair.weight;
          dp[i][c] = pair.ds;
          effect[half] += pair.ds;
        }
      }
      uint32_t weight[4], ds[4];
      PackA(weight, s[0], s[1]);
      PackA(ds, dp[0], dp[1]);
      AddProduct<e>(dk_sum, ds, queries.x(tile), slice);
      AddProduct<e>(dv_sum, weight, queries.y(tile), slice);
    }
  }
  StoreOwnRows<e>(dk, dk_sum, {p.scale, p.scale}, shared.own[0], head, own);
  const float scale = p.dropout.scale();
  StoreOwnRows<e>(dv, dv_sum, {scale, scale}, shared.own[1], head, own);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = RowReduce(effect[half], device::Sum());
    if (key_effect != nullptr && rows.exists[half] && device::Lane() % 4 == 0) {
      key_effect[int64_t{own.list} * p.n + rows.position[half]] = sum;
    }
  }
}

}  // namespace treeformer::cuda
