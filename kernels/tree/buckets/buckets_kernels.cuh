#pragma once

// The ranges of matching rows and the counts of leaves of buckets.h.  The sort: sort_kernels.cuh.

#include "kernels/tree/buckets/sort_kernels.cuh"

namespace treeformer::cuda {

constexpr int kMatchThreads = 256;
constexpr int kCountThreads = 256;
constexpr int64_t kCountRows = 4096;     // of one block
constexpr int64_t kSharedLeaves = 4096;  // more are counted in global memory
constexpr int kCountSharedBytes = kSharedLeaves * static_cast<int>(sizeof(int32_t));

// (document, leaf) as one number, ascending as the sort does.
DEVICE int64_t MatchKey(int32_t document, int32_t leaf) {
  if (document < 0 || leaf < 0) return std::numeric_limits<int64_t>::max();  // padding
  return int64_t{document} << 32 | leaf;
}

// One side: slots ascend in their keys.
struct SortedSide {
  const int32_t* order;
  const int32_t* leaf;
  const int32_t* document;
  int64_t n;

  DEVICE SortedSide OfList(int64_t list, int64_t heads) const {
    return {order + list * n, leaf + list * n, document + list / heads * n, n};
  }
  DEVICE int64_t Key(int64_t slot) const {
    const int32_t position = order[slot];
    return MatchKey(document[position], leaf[position]);
  }
};

// A slot a thread.  Lanes with equal keys search together, in the same places.
KERNEL(kMatchThreads)
MatchRangesKernel(int32_t* range, SortedSide rows, SortedSide others, int64_t heads,
                  int64_t count) {
  const int64_t row = int64_t{device::BlockX()} * kMatchThreads + device::Thread();
  if (row >= count) return;
  const int64_t list = row / rows.n;
  const SortedSide own = rows.OfList(list, heads), other = others.OfList(list, heads);
  const int64_t key = own.Key(row - list * rows.n), n = other.n;
  int64_t begin = 0, end = 0;  // slots below the key, slots not above it
  if (key != std::numeric_limits<int64_t>::max()) {
    for (int64_t step = std::bit_floor(static_cast<uint64_t>(n)); step > 0; step /= 2) {
      if (begin + step <= n && other.Key(begin + step - 1) < key) begin += step;
      if (end + step <= n && other.Key(end + step - 1) <= key) end += step;
    }
  }
  range[2 * row] = begin < end ? static_cast<int32_t>(begin) : 0;
  range[2 * row + 1] = begin < end ? static_cast<int32_t>(end) : 0;
}

// count [B, H, L] was cleared.  Grid: chunks of kCountRows rows x lists, in one axis.
KERNEL(kCountThreads)
CountLeavesKernel(int32_t* count, const int32_t* leaf, int64_t n, int64_t leaves, int64_t chunks) {
  int32_t* shared = reinterpret_cast<int32_t*>(device::SharedMemory());
  const int64_t list = device::BlockX() / chunks, chunk = device::BlockX() % chunks;
  int32_t* own = count + list * leaves;
  const bool is_shared = leaves <= kSharedLeaves;
  int32_t* counts = is_shared ? shared : own;
  if (is_shared) {
    for (int64_t l = device::Thread(); l < leaves; l += kCountThreads) shared[l] = 0;
  }
  device::BlockBarrier();
  const int64_t end = std::min((chunk + 1) * kCountRows, n);
  for (int64_t i = chunk * kCountRows + device::Thread(); i < end; i += kCountThreads) {
    const int32_t l = leaf[list * n + i];
    if (l >= 0) device::AtomicAdd(&counts[l], 1);
  }
  device::BlockBarrier();
  if (!is_shared) return;
  for (int64_t l = device::Thread(); l < leaves; l += kCountThreads) {
    if (shared[l] > 0) device::AtomicAdd(&own[l], shared[l]);
  }
}

}  // namespace treeformer::cuda
