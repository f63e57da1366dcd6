#pragma once

// FlipBackward on a GPU: route.h.  x and dx bfloat16; dx is read, added to in float32 over the
// heads that share it, in order, and rounded once.  weight, dweight, dbias, margin, gain float32.
//
// dweight, dbias: the rows of every list (b, h) were sorted by the plane of their decision; rows
// without one come last.  A warp sums a chunk of kFlipChunk sorted rows, plane by plane:
//   partial [B, H, chunks + P, E + 1]: the run of plane p in chunk c is its row c + p, which
//   ascends from run to run, so no two share a row; column E is the bias.  Others stay unwritten.
// Then a block for each plane adds its runs in the order of (b, chunk).  A k-ary decision does so
// for its own plane, then for the other one with the negative slope.

#include <bit>

#include "kernels/cuda/device.cuh"
#include "kernels/tree/route/flip.h"

namespace treeformer::cuda {

constexpr int kFlipChunk = 64;  // sorted rows of one warp
constexpr int kFlipSlice = 64;  // columns of one warp
constexpr int kFlipThreads = 128;
constexpr int kFlipWarps = kFlipThreads / device::kWarpThreads;
constexpr int kFlipAtOnce = 8;  // rows read before the first is added

struct FlipSizes {
  int64_t B, n, heads, x_heads, planes, columns;

  HOST_DEVICE int64_t chunks() const { return (n + kFlipChunk - 1) / kFlipChunk; }
  HOST_DEVICE int64_t slices() const { return (columns + kFlipSlice - 1) / kFlipSlice; }
  HOST_DEVICE int64_t runs() const { return chunks() + planes; }  // of a list
  HOST_DEVICE int64_t warps() const { return B * heads * chunks() * slices(); }
  HOST_DEVICE int64_t XRow(int64_t b, int64_t i, int64_t h) const {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * columns;
  }
};

struct FlipSlopes {  // all [B, H, n]
  const float* margin;
  const float* gain;
  bool binary;
  float tau;

  DEVICE float Own(int64_t row) const { return OwnSlope(margin[row], gain[row], binary, tau); }
};

// One warp's chunk of sorted rows; a lane sums two columns of its slice.
struct FlipRun {
  float* partial;  // of the chunk: the run of plane p is row p
  int64_t columns, column;
  int plane = -1;  // none yet
  float sum[2] = {}, bias = 0;

  DEVICE void Add(int its_plane, float slope, const float (&x)[2]) {
    if (its_plane != plane) {
      Store();
      plane = its_plane;
      sum[0] = sum[1] = bias = 0;
    }
    sum[0] += slope * x[0];
    sum[1] += slope * x[1];
    bias += slope;
  }
  DEVICE void Store() const {
    if (plane < 0) return;
    float* row = partial + plane * (columns + 1);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (column + 32 * i < columns) row[column + 32 * i] = sum[i];
    }
    if (column == 0) row[columns] = bias;
  }
};

// sign: 1 for the own planes, -1 for the others.
KERNEL(kFlipThreads)
FlipPartialsKernel(float* partial, const int32_t* order, const int32_t* plane, FlipSlopes slopes,
                   const BFloat16* x, FlipSizes sizes, float sign) {
  const int64_t warp = int64_t{device::BlockX()} * kFlipWarps + device::Warp();
  if (warp >= sizes.warps()) return;  // the whole warp
  const int64_t slice = warp % sizes.slices(), unit = warp / sizes.slices();
  const int64_t chunk = unit % sizes.chunks(), list = unit / sizes.chunks();
  const int64_t b = list / sizes.heads, h = list % sizes.heads;
  const int64_t column = slice * kFlipSlice + device::Lane();
  FlipRun run{partial + (list * sizes.runs() + chunk) * (sizes.columns + 1), sizes.columns, column};
  for (int64_t first = chunk * kFlipChunk; first < (chunk + 1) * kFlipChunk;
       first += device::kWarpThreads) {
    const int64_t slot = first + device::Lane();
    const int position = slot < sizes.n ? order[list * sizes.n + slot] : 0;
    const int64_t row = list * sizes.n + position;
    const int own_plane = slot < sizes.n ? plane[row] : -1;
    const float own_slope = own_plane < 0 ? 0 : sign * slopes.Own(row);
#pragma unroll 1
    for (int r = 0; r < device::kWarpThreads; r += kFlipAtOnce) {
      float value[kFlipAtOnce][2];
#pragma unroll
      for (int j = 0; j < kFlipAtOnce; ++j) {
        const int i = device::Shuffle(position, r + j);
        const bool decides = device::Shuffle(own_plane, r + j) >= 0;
        const BFloat16* x_row = x + sizes.XRow(b, i, h);
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const int64_t c = column + 32 * k;
          value[j][k] = decides && c < sizes.columns ? device::ToFloat(x_row[c]) : 0;
        }
      }
#pragma unroll
      for (int j = 0; j < kFlipAtOnce; ++j) {
        const int its_plane = device::Shuffle(own_plane, r + j);
        run.Add(its_plane, device::Shuffle(own_slope, r + j), value[j]);
      }
    }
  }
  run.Store();
}

constexpr int kFlipReduceThreads = 64;

struct SlotRange {
  int32_t begin, end;
};

// The slots of a plane in a sorted list.
DEVICE SlotRange FindPlane(const int32_t* order, const int32_t* plane, int64_t n, int wanted) {
  int64_t begin = 0, end = 0;  // slots below the plane, slots not above it
  for (int64_t step = std::bit_floor(static_cast<uint64_t>(n)); step > 0; step /= 2) {
    // Without a decision: -1, the largest as an unsigned number.
    const auto at = [&](int64_t slot) { return static_cast<uint32_t>(plane[order[slot]]); };
    const uint32_t key = wanted;
    if (begin + step <= n && at(begin + step - 1) < key) begin += step;
    if (end + step <= n && at(end + step - 1) <= key) end += step;
  }
  return {static_cast<int32_t>(begin), static_cast<int32_t>(end)};
}

// One block for each of the H P planes.
KERNEL(kFlipReduceThreads)
FlipReduceKernel(float* dweight, float* dbias, const float* partial, const int32_t* order,
                 const int32_t* plane, FlipSizes sizes) {
  SlotRange* ranges = reinterpret_cast<SlotRange*>(device::SharedMemory());
  const int64_t h = device::BlockX() / sizes.planes;
  const int own_plane = static_cast<int>(device::BlockX() % sizes.planes);
  for (int64_t first = 0; first < sizes.B; first += kFlipReduceThreads) {
    const int64_t b = first + device::Thread();
    device::BlockBarrier();
    if (b < sizes.B) {
      const int64_t offset = (b * sizes.heads + h) * sizes.n;
      ranges[device::Thread()] = FindPlane(order + offset, plane + offset, sizes.n, own_plane);
    }
    device::BlockBarrier();
    for (int64_t c = device::Thread(); c <= sizes.columns; c += kFlipReduceThreads) {
      float sum = 0;
      for (int64_t k = first; k < std::min(first + kFlipReduceThreads, sizes.B); ++k) {
        const SlotRange range = ranges[k - first];
        if (range.begin == range.end) continue;
        const int64_t run = (k * sizes.heads + h) * sizes.runs() + own_plane;
        for (int chunk = range.begin / kFlipChunk; chunk <= (range.end - 1) / kFlipChunk; ++chunk) {
          sum += partial[(run + chunk) * (sizes.columns + 1) + c];
        }
      }
      float* total = c < sizes.columns
                         ? dweight + (h * sizes.planes + own_plane) * sizes.columns + c
                         : dbias + h * sizes.planes + own_plane;
      *total += sum;
    }
  }
}

constexpr int kFlipInputThreads = 256;
constexpr int kLanesPerRow = 8;
constexpr int kFlipInputRows = kFlipInputThreads / kLanesPerRow;

struct FlipPlanes {
  const int32_t* own;
  const int32_t* other;
  const float* weight;  // [H, P, E]
};

// sum += slope w, columns [0, count) of w.
DEVICE void AddWeights(float (&sum)[8], float slope, const float* w, int64_t count) {
  if (count >= 8 && reinterpret_cast<uintptr_t>(w) % 16 == 0) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i % 4 != 0) continue;
      const auto four = device::Load<device::Vector16>(w + i);
#pragma unroll
      for (int k = 0; k < 4; ++k) sum[i + k] += slope * device::FloatOfBits(four.word[k]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] += i < count ? slope * w[i] : 0;
  }
}

// dx: eight lanes a row of [B, n, x_heads], eight columns each at a time.
KERNEL(kFlipInputThreads)
FlipInputKernel(BFloat16* dx, FlipPlanes planes, FlipSlopes slopes, FlipSizes sizes, int rows) {
  const int x_row = device::BlockX() * kFlipInputRows + device::Thread() / kLanesPerRow;
  if (x_row >= rows) return;
  const int x_heads = static_cast<int>(sizes.x_heads), n = static_cast<int>(sizes.n);
  const int place = x_row / x_heads, b = place / n, i = place % n;
  const int first = x_heads == 1 ? 0 : x_row % x_heads;
  const int end = x_heads == 1 ? static_cast<int>(sizes.heads) : first + 1;
  const bool aligned = sizes.columns % 8 == 0;
  for (int64_t c = device::Thread() % kLanesPerRow * 8; c < sizes.columns; c += kLanesPerRow * 8) {
    BFloat16* own = dx + x_row * sizes.columns + c;
    const int64_t count = std::min<int64_t>(8, sizes.columns - c);
    float sum[8];
    if (aligned) {
      device::Unpack(sum, device::Load<device::Vector16>(own));
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) sum[k] = k < count ? device::ToFloat(own[k]) : 0;
    }
    for (int h = first; h < end; ++h) {
      const int64_t row = (int64_t{b} * sizes.heads + h) * n + i;
      const int32_t own_plane = planes.own[row];
      if (own_plane < 0) continue;
      const float slope = slopes.Own(row);
      const float* w = planes.weight + h * sizes.planes * sizes.columns + c;
      AddWeights(sum, slope, w + own_plane * sizes.columns, count);
      if (!slopes.binary) AddWeights(sum, -slope, w + planes.other[row] * sizes.columns, count);
    }
    if (aligned) {
      device::Store(own, device::Pack(sum));
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        if (k < count) own[k] = device::ToBFloat16(sum[k]);
      }
    }
  }
}

}  // namespace treeformer::cuda
