#pragma once

// Sums over the rows of [N, C] in a fixed order, in two kernels: a block adds a chunk of rows for a
// tile of columns into partial [chunks, kSums, C], then a thread adds a column's chunks in order.
// The chunks depend on N alone.

#include <algorithm>

#include "kernels/base/host_device.h"
#include "kernels/cuda/vectors.cuh"

namespace treeformer::cuda {

constexpr int kColumnThreads = 256;
constexpr int kColumnWarps = kColumnThreads / device::kWarpThreads;

// At most 128 chunks.
HOST_DEVICE constexpr int64_t RowsPerColumnChunk(int64_t N) {
  return std::max<int64_t>(32, (N + 127) / 128);
}
constexpr int64_t ColumnChunks(int64_t N) {
  return (N + RowsPerColumnChunk(N) - 1) / RowsPerColumnChunk(N);
}
// Columns of one block; the grid is [ColumnChunks(N), C / ColumnTile(kWidth) rounded up].
HOST_DEVICE constexpr int ColumnTile(int width) { return device::kWarpThreads * width; }
constexpr int64_t ColumnSharedBytes(int width, int sums) {
  return int64_t{sizeof(float)} * sums * kColumnWarps * ColumnTile(width);
}

// add(sum, n, c) adds row n's terms of the columns c .. c + kWidth - 1 to float sum[kSums][kWidth].
template <int kWidth, int kSums, typename Add>
DEVICE void SumColumnChunk(float* partial, int64_t N, int64_t C, const Add& add) {
  constexpr int kTile = ColumnTile(kWidth);
  const int64_t begin = device::BlockX() * RowsPerColumnChunk(N);
  const int64_t end = std::min(N, begin + RowsPerColumnChunk(N));
  const int64_t tile = int64_t{device::BlockY()} * kTile;
  const int64_t c = tile + device::Lane() * kWidth;
  float sum[kSums][kWidth] = {};
  if (c < C) {
    for (int64_t n = begin + device::Warp(); n < end; n += kColumnWarps) add(sum, n, c);
  }

  float* of_warp = device::SharedArrays().Take<float>(kSums * kColumnWarps * kTile);
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    float* to = of_warp + (s * kColumnWarps + device::Warp()) * kTile + device::Lane() * kWidth;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) to[i] = sum[s][i];
  }
  device::BlockBarrier();
  for (int i = device::Thread(); i < kSums * kTile; i += kColumnThreads) {
    const int s = i / kTile, column = i % kTile;
    if (tile + column >= C) continue;
    float total = 0;
#pragma unroll
    for (int warp = 0; warp < kColumnWarps; ++warp) {
      total += of_warp[(s * kColumnWarps + warp) * kTile + column];
    }
    partial[(int64_t{device::BlockX()} * kSums + s) * C + tile + column] = total;
  }
}

// The sum of partial[0], partial[stride], ..
DEVICE float AddPartials(const float* partial, int64_t chunks, int64_t stride) {
  float sum = 0;
#pragma unroll 4
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * stride];
  return sum;
}

}  // namespace treeformer::cuda
