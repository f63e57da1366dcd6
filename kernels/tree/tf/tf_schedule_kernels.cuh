#pragma once

// What goes before the kernels of TF attention (tf_tiles.cuh):
//
//   CausalRangeKernel   which part of their ranges rows see
//   OrderUnitsKernel    in which order blocks own units of 64 slots: the longest first
//
// A GPU starts blocks in the order of their numbers, each where another has ended.  So the long
// ones come first, and the short ones fill up the end: at most 4/3 of the best schedule were the
// order exact (Graham 1969).  It is exact up to a factor of two: units whose keys stream in
// [2^c, 2^(c+1)) tiles are one class, in which neighbours stay neighbours and share their keys in
// the L2 cache.  Nothing but the time depends on it.

#include "kernels/tree/buckets/sort_kernels.cuh"
#include "kernels/tree/buckets/window_kernels.cuh"
#include "kernels/tree/tf/tf_tiles.cuh"

namespace treeformer::cuda {

constexpr int kCausalThreads = 256;

// causal [count, 2]: of slot s's range the other positions <= its own (queries) or >= its own
// (keys); they ascend inside the range, so what is left is a range.  count = B H n.
KERNEL(kCausalThreads)
CausalRangeKernel(int32_t* causal, const int32_t* range, const int32_t* order,
                  const int32_t* other_order, bool queries, int n, int64_t count) {
  const int64_t s = int64_t{device::BlockX()} * kCausalThreads + device::Thread();
  if (s >= count) return;
  const int32_t* other = other_order + s / n * n;
  const int limit = order[s] + (queries ? 1 : 0), begin = range[2 * s], end = range[2 * s + 1];
  const int split = begin + CountBelow(other + begin, end - begin, limit);
  causal[2 * s] = queries ? begin : split;
  causal[2 * s + 1] = queries ? split : end;
}

constexpr int kCostClasses = 16;
constexpr int kCostSamples = 4;

// The class of a unit, 0 the longest; from the ranges of a few rows, as they ascend with the slots
// but for those of rows that meet nobody.
struct UnitCost {
  static constexpr int values = kCostClasses;
  const int32_t* range;  // [B, H, n, 2]
  int n, tiles;

  DEVICE int operator()(int32_t unit) const {
    const int first = unit % tiles * kTfRows;
    const int last = device::Min()(first + kTfRows, n) - 1;
    TfRange hull;
#pragma unroll
    for (int sample = 0; sample < kCostSamples; ++sample) {
      const int slot = first + (last - first) * sample / (kCostSamples - 1);
      const int32_t* of_slot = range + 2 * (int64_t{unit / tiles} * n + slot);
      hull = TfRange::Hull(hull, TfRange::Of(of_slot[0], of_slot[1]));
    }
    const int keys = device::Max()(hull.end - hull.begin, 0);
    const int width = std::bit_width(static_cast<uint32_t>((keys + kTfRows - 1) / kTfRows));
    return kCostClasses - 1 - device::Min()(width, kCostClasses - 1);
  }
};

constexpr int kScheduleThreads = 1024;
constexpr int kScheduleWarps = kScheduleThreads / device::kWarpThreads;
constexpr int kScheduleSharedBytes =
    (kScheduleWarps * kCostClasses + kScheduleWarps) * static_cast<int>(sizeof(int32_t));

// units [count] by ascending class, stable: a counting sort as in sort_kernels.cuh, by one block.
struct UnitOrder {
  int32_t* units;
  UnitCost cost;
};

// Block 0 and block 1 order a side each.
KERNEL(kScheduleThreads) OrderUnitsKernel(UnitOrder first, UnitOrder second, int count) {
  device::SharedArrays arrays;
  int32_t* counts = arrays.Take<int32_t>(kScheduleWarps * kCostClasses);
  int32_t* shared = arrays.Take<int32_t>(kScheduleWarps);
  const UnitOrder order = device::BlockX() == 0 ? first : second;
  const WarpRows units = WarpRows::OfWarp<kScheduleThreads>(nullptr, 0, count);
  int32_t* own_counts = counts + device::Warp() * kCostClasses;
  CountDigits(own_counts, order.cost, units);
  device::BlockBarrier();
  // Thread t: class t / warps of warp t % warps.
  const int of_class = device::Thread() / kScheduleWarps;
  int32_t* own = counts + device::Thread() % kScheduleWarps * kCostClasses + of_class;
  int32_t total;
  const int32_t slot =
      BlockExclusiveSum<kScheduleThreads>(of_class < kCostClasses ? *own : 0, shared, total);
  if (of_class < kCostClasses) *own = slot;
  device::BlockBarrier();
  ScatterRows(order.units, own_counts, order.cost, units);
}

}  // namespace treeformer::cuda
