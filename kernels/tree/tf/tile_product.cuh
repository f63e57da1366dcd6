#pragma once

// A tile of a matrix product in float32, operands given by functions: for the operations where
// clarity is worth more than speed.  All 256 threads of the block call it; it begins with a
// barrier, for what was in its memory, and ends without one.
//
//   c [64, 64] += A [64, depth] B [depth, 64]     a(row, k), b(k, column) -> float
//   thread t holds rows 4 (t / 16) + i and columns 4 (t % 16) + j as c[i][j]
//
// Every element is summed in ascending k.

#include "kernels/cuda/blocks.h"
#include "kernels/cuda/device.cuh"

namespace treeformer::cuda {

constexpr int kProductThreads = 256;
constexpr int kProductTile = 64;
constexpr int kProductDepth = 16;  // of a step
constexpr int kProductStride = kProductTile + 4;
constexpr int kProductSharedBytes = 2 * kProductDepth * kProductStride * 4;

DEVICE int ProductRow() { return device::Thread() / 16 * 4; }
DEVICE int ProductColumn() { return device::Thread() % 16 * 4; }

// Takes kProductSharedBytes.
struct ProductMemory {
  float *a, *b;  // [kProductDepth, kProductStride]

  DEVICE explicit ProductMemory(device::SharedArrays& shared)
      : a(shared.Take<float>(kProductDepth * kProductStride)),
        b(shared.Take<float>(kProductDepth * kProductStride)) {}
};

template <typename A, typename B>
DEVICE void MultiplyTile(float (&c)[4][4], int64_t depth, const ProductMemory& memory, const A& a,
                         const B& b) {
  constexpr int kElements = kProductTile * kProductDepth;
  for (int64_t begin = 0; begin < depth; begin += kProductDepth) {
    device::BlockBarrier();
    for (int x = device::Thread(); x < kElements; x += kProductThreads) {
      const int row = x / kProductDepth, k = x % kProductDepth;
      memory.a[k * kProductStride + row] = begin + k < depth ? a(row, begin + k) : 0;
    }
    for (int x = device::Thread(); x < kElements; x += kProductThreads) {
      const int k = x / kProductTile, column = x % kProductTile;
      memory.b[k * kProductStride + column] = begin + k < depth ? b(begin + k, column) : 0;
    }
    device::BlockBarrier();
#pragma unroll
    for (int k = 0; k < kProductDepth; ++k) {
      const float* row = memory.a + k * kProductStride + ProductRow();
      const float* column = memory.b + k * kProductStride + ProductColumn();
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) c[i][j] += row[i] * column[j];
      }
    }
  }
}

// visit(row, column, value) for this thread's part of the tile.
template <typename Visit>
DEVICE void ForEachOfTile(const float (&c)[4][4], const Visit& visit) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) visit(ProductRow() + i, ProductColumn() + j, c[i][j]);
  }
}

}  // namespace treeformer::cuda
