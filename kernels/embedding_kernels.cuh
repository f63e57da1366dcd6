#pragma once

// Table look-ups and their gradients: embedding.h.  bfloat16 rows; the tables' gradients float32.
//
// The gradient adds rows that share an index without atomics: the pairs (index, row) are sorted as
// 64-bit keys, unique, so that the order is one only (Batcher 1968, bitonic sort; the keys are
// padded to a power of two).  A warp then walks kRunTile sorted keys and adds every run of one
// index: to the table if the run lies in its tile, else to partial [tiles, 2, C]: 0 the run that
// came from the tile before, 1 the one that begins here and goes on.  A second kernel adds the
// parts of such a run, tile after tile, to the table.

#include <algorithm>
#include <limits>

#include "kernels/cuda/vectors.cuh"

namespace treeformer::cuda {

constexpr int kEmbeddingThreads = 128;
constexpr int kEmbeddingWarps = kEmbeddingThreads / device::kWarpThreads;
constexpr int kSortThreads = 256;
constexpr int kSortTile = 2048;  // keys that a block sorts in shared memory
constexpr int64_t kSortSharedBytes = kSortTile * sizeof(uint64_t);
constexpr int kRunTile = 64;  // sorted keys of a warp

// Keys for N rows: a power of two, at least one tile.
constexpr int64_t KeyCount(int64_t N) {
  int64_t count = kSortTile;
  while (count < N) count *= 2;
  return count;
}
constexpr int64_t RunTiles(int64_t N) { return (N + kRunTile - 1) / kRunTile; }

// --- look-ups: a warp a row ---------------------------------------------------------------------
DEVICE int64_t EmbeddingRow() {
  return int64_t{device::BlockX()} * kEmbeddingWarps + device::Warp();
}

// sum += table[index] in kWidth columns from c; an index outside of the table gives NaN.
template <int kWidth>
DEVICE void AddTableRow(float (&sum)[kWidth], const BFloat16* table, int64_t rows, int64_t C,
                        int32_t index, int64_t c) {
  float value[kWidth];
  const bool inside = 0 <= index && index < rows;
  device::LoadFloats(value, table + (inside ? index * C : 0) + c);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    sum[i] += inside ? value[i] : std::numeric_limits<float>::quiet_NaN();
  }
}

struct Table {
  const BFloat16* values;  // [rows, C]
  int64_t rows;
  const int32_t* index;  // [N]
};

// y_n = sum over the tables of values[index_n], in their order; y [N, C]
template <int kWidth, int kTables>
DEVICE void LookUp(BFloat16* y, const Table (&tables)[kTables], int64_t N, int64_t C) {
  const int64_t n = EmbeddingRow();
  if (n >= N) return;
  for (int64_t c = device::Lane() * kWidth; c < C; c += device::kWarpThreads * kWidth) {
    float sum[kWidth] = {};
#pragma unroll
    for (const Table& table : tables) {
      AddTableRow(sum, table.values, table.rows, C, table.index[n], c);
    }
    device::StoreFloats(y + n * C + c, sum);
  }
}

template <int kWidth>
KERNEL(kEmbeddingThreads)
EmbeddingForwardKernel(BFloat16* y, Table token, Table position, Table type, int64_t N, int64_t C) {
  const Table tables[] = {token, position, type};
  LookUp<kWidth>(y, tables, N, C);
}

template <int kWidth>
KERNEL(kEmbeddingThreads)
GatherRowsKernel(BFloat16* y, Table x, int64_t N, int64_t C) {
  const Table tables[] = {x};
  LookUp<kWidth>(y, tables, N, C);
}

// --- sorting ------------------------------------------------------------------------------------
// Keys past N, and of negative indices, are larger than those of all tables.
KERNEL(kSortThreads)
MakeKeysKernel(uint64_t* keys, const int32_t* index, int64_t N, int64_t count) {
  const int64_t n = int64_t{device::BlockX()} * kSortThreads + device::Thread();
  if (n >= count) return;
  const uint32_t table_row = n < N ? static_cast<uint32_t>(index[n]) : ~uint32_t{0};
  keys[n] = uint64_t{table_row} << 32 | static_cast<uint32_t>(n);
}

// Compares keys[i] with keys[i + stride], for pair p of the keys; runs of `size` ascend and descend
// by turns.  first: the place of keys[0] among all.
DEVICE void CompareAndSwap(uint64_t* keys, int64_t pair, int64_t stride, int64_t size,
                           int64_t first) {
  const int64_t i = pair / stride * 2 * stride + pair % stride;
  const uint64_t a = keys[i], b = keys[i + stride];
  const bool ascends = ((first + i) & size) == 0;
  if ((a > b) == ascends) {
    keys[i] = b;
    keys[i + stride] = a;
  }
}

// The steps of stride < kSortTile for runs of first_size, .., last_size, in shared memory.
KERNEL(kSortThreads) SortTilesKernel(uint64_t* keys, int64_t first_size, int64_t last_size) {
  uint64_t* tile = device::SharedArrays().Take<uint64_t>(kSortTile);
  const int64_t first = int64_t{device::BlockX()} * kSortTile;
  for (int i = device::Thread(); i < kSortTile; i += kSortThreads) tile[i] = keys[first + i];
  for (int64_t size = first_size; size <= last_size; size *= 2) {
    for (int stride = std::min<int64_t>(size, kSortTile) / 2; stride > 0; stride /= 2) {
      device::BlockBarrier();
      for (int pair = device::Thread(); pair < kSortTile / 2; pair += kSortThreads) {
        CompareAndSwap(tile, pair, stride, size, first);
      }
    }
  }
  device::BlockBarrier();
  for (int i = device::Thread(); i < kSortTile; i += kSortThreads) keys[first + i] = tile[i];
}

// One step of stride >= kSortTile.
KERNEL(kSortThreads)
SortStepKernel(uint64_t* keys, int64_t stride, int64_t size, int64_t count) {
  const int64_t pair = int64_t{device::BlockX()} * kSortThreads + device::Thread();
  if (pair < count / 2) CompareAndSwap(keys, pair, stride, size, /*first=*/0);
}

// --- sums ---------------------------------------------------------------------------------------
DEVICE uint32_t IndexOf(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
DEVICE uint32_t RowOf(uint64_t key) { return static_cast<uint32_t>(key); }

// to[0 .. kWidth - 1] += sum
template <int kWidth, typename T>
DEVICE void AddInto(T* to, const float (&sum)[kWidth]) {
  float value[kWidth];
  device::LoadFloats(value, to);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) value[i] += sum[i];
  device::StoreFloats(to, value);
}

// dx [rows, C], dy [N, C].  Grid: [RunTiles(N), tiles of 32 kWidth columns], a warp each.
template <int kWidth, typename T>
KERNEL(device::kWarpThreads)
SumRunsKernel(T* dx, float* partial, const BFloat16* dy, const uint64_t* keys, int64_t rows,
              int64_t N, int64_t C) {
  const int64_t begin = int64_t{device::BlockX()} * kRunTile;
  const int64_t end = std::min(N, begin + kRunTile);
  const int64_t c = (int64_t{device::BlockY()} * device::kWarpThreads + device::Lane()) * kWidth;
  if (c >= C) return;
  float* to_partial = partial + int64_t{device::BlockX()} * 2 * C + c;
  bool from_before = begin > 0 && IndexOf(keys[begin - 1]) == IndexOf(keys[begin]);
  float sum[kWidth] = {};
  for (int64_t i = begin; i < end; ++i) {
    const uint64_t key = keys[i];
    const uint32_t index = IndexOf(key);
    if (index >= rows) return;  // so are all that follow
    float value[kWidth];
    device::LoadFloats(value, dy + RowOf(key) * C + c);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] += value[k];
    const bool goes_on = i + 1 < N && IndexOf(keys[i + 1]) == index;
    if (goes_on && i + 1 < end) continue;
    if (from_before) {
      device::StoreFloats(to_partial, sum);
    } else if (goes_on) {
      device::StoreFloats(to_partial + C, sum);
    } else {
      AddInto(dx + index * C + c, sum);
    }
    from_before = false;
#pragma unroll
    for (float& s : sum) s = 0;
  }
}

// The first place whose key is not below `key`.
DEVICE int64_t LowerBound(const uint64_t* keys, int64_t N, uint64_t key) {
  int64_t begin = 0, end = N;
  while (begin < end) {
    const int64_t middle = (begin + end) / 2;
    if (keys[middle] < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

// Adds the parts of the run that begins in this tile and goes on, if there is one.  The same grid.
template <int kWidth, typename T>
KERNEL(device::kWarpThreads)
AddRunsKernel(T* dx, const float* partial, const uint64_t* keys, int64_t rows, int64_t N,
              int64_t C) {
  const int64_t tile = device::BlockX(), begin = tile * kRunTile, end = begin + kRunTile;
  const int64_t c = (int64_t{device::BlockY()} * device::kWarpThreads + device::Lane()) * kWidth;
  if (c >= C || end >= N) return;
  const uint32_t index = IndexOf(keys[end - 1]);
  const bool begins_before = begin > 0 && IndexOf(keys[begin - 1]) == index;
  if (index >= rows || begins_before || IndexOf(keys[end]) != index) return;
  const int64_t run_end = LowerBound(keys, N, (uint64_t{index} + 1) << 32);
  const int64_t last = (run_end - 1) / kRunTile;
  float sum[kWidth];
  device::LoadFloats(sum, partial + (tile * 2 + 1) * C + c);
#pragma unroll 4
  for (int64_t t = tile + 1; t <= last; ++t) {
    float value[kWidth];
    device::LoadFloats(value, partial + t * 2 * C + c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[i] += value[i];
  }
  AddInto(dx + index * C + c, sum);
}

}  // namespace treeformer::cuda
