#pragma once

// TF attention forward (tf_attention.h): softmax over the keys of a query's range, in one pass with
// a running maximum (Milakov, Gimelshein 2018; Dao et al. 2022).  Blocks own queries and stream
// keys and values; see tf_tiles.cuh.
//
// S and the softmax are float32, with base 2; P is rounded to bfloat16 for P V, its sum is not.

#include "kernels/tree/tf/tf_softmax.cuh"

namespace treeformer::cuda {

template <int e, bool kDropout>
KERNEL(kTfThreads)
TfForwardKernel(const TfProblem p, BFloat16* o, float* lse) {
  auto& shared = TfShared<e, 1>::OfBlock();
  const TfOwnRows own(shared, p, p.queries);
  const TfRange block = own.BlockHull(), warp = own.WarpHull();
  const TfHead<e> head(p, own.list);
  const TfRowPair rows(own);
  TfStream<e, 1> keys(shared, p, own.list, block, p.keys.order, p.k, p.v);
  if (keys.tiles() > 0) {
    GatherTile<e>(shared.own[0], p.q, head, own.position(), own.count);
    keys.Start();
  }

  TfOwnFragments<e, /*kInRegisters=*/true> queries;
  TfSoftmax softmax;
  float sum[e / 8][4] = {};
  for (int tile = 0; tile < keys.tiles(); ++tile) {
    keys.Await(tile);
    if (tile == 0) queries.Read(shared.own[0]);
    const int first = keys.first_slot(tile);
    if (!warp.Meets(first, kTfRows)) continue;
    float s[8][4] = {}, correction[2];
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      queries.AddProducts(s[2 * slice], s[2 * slice + 1], keys.x(tile), slice);
    }
    softmax.Update(s, correction, p.scale * kLog2E, rows, first);
#pragma unroll
    for (int i = 0; i < e / 8; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) sum[i][c] *= correction[c / 2];
    }
    if constexpr (kDropout) {
      const uint32_t keep =
          KeepMask</*kOwnQueries=*/true>(p, own.list, rows, keys, tile, /*first_column=*/0, 32);
#pragma unroll
      for (int bit = 0; bit < 32; ++bit) {
        if ((keep >> bit & 1) == 0) s[bit / 4][bit % 4] = 0;
      }
    }
#pragma unroll
    for (int slice = 0; slice < 4; ++slice) {
      if (!warp.Meets(first + 16 * slice, 16)) continue;
      uint32_t weights[4];
      PackA(weights, s[2 * slice], s[2 * slice + 1]);
      AddProduct<e>(sum, weights, keys.y(tile), slice);
    }
  }

  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = RowReduce(softmax.sum[half], device::Sum());
    factor[half] = total > 0 ? p.dropout.scale() / total : 0;
    if (rows.exists[half] && device::Lane() % 4 == 0) {
      lse[int64_t{own.list} * p.n + rows.position[half]] =
          total > 0 ? (softmax.max[half] + device::Log2(total)) / kLog2E : -INFINITY;
    }
  }
  StoreOwnRows<e>(o, sum, factor, shared.own[0], head, own);
}

}  // namespace treeformer::cuda
