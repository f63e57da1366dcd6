#pragma once

#include "kernels/cuda/device.cuh"

namespace treeformer::cuda {

constexpr int kWindowThreads = 256;

// How many of the ascending x [count] are below `limit`.
DEVICE int CountBelow(const int32_t* x, int count, int64_t limit) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (x[middle] < limit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// A slot a thread.  count = B H n.
KERNEL(kWindowThreads)
NarrowRangesKernel(int32_t* range, const int32_t* order, const int32_t* other_order, int64_t reach,
                   int n, int64_t count) {
  const int64_t row = int64_t{device::BlockX()} * kWindowThreads + device::Thread();
  if (row >= count) return;
  const int first = range[2 * row], met = range[2 * row + 1] - first;
  const int32_t* other = other_order + row / n * n + first;
  const int64_t i = order[row];
  const int begin = CountBelow(other, met, i - reach), end = CountBelow(other, met, i + reach + 1);
  range[2 * row] = begin < end ? first + begin : 0;
  range[2 * row + 1] = begin < end ? first + end : 0;
}

}  // namespace treeformer::cuda
