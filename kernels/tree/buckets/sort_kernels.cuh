#pragma once

// The stable counting sort by (document, leaf) of buckets.h, with padding last.  Deterministic: the
// order is unique; shared counters are integers.
//
// The key of a row is (document - first) leaves + leaf, `first` the least document of the sequence,
// and one number above all others for padding; it is sorted digit by digit of kDigitBits, the
// lowest first.  How many digits there are only the device knows: with one document and fewer than
// 2^kDigitBits leaves it is one.  A digit is one pass over a list:
//
//   count    every warp counts its own rows of each value of the digit, in shared memory
//   scan     the first slot of each (value, warp), in this order
//   scatter  every warp again, 32 rows at a time: rows of equal digits find each other by Ballot
//
// SortListKernel does all of it with one block a list; sort_long_kernels.cuh shares each pass of a
// long list among blocks.

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/base/host_device.h"
#include "kernels/cuda/device.cuh"

namespace treeformer::cuda {

constexpr int kDigitBits = 11;
constexpr int kMaxDigits = 1 << kDigitBits;  // values of a digit

constexpr int kLongSortThreads = 512;  // of SortListKernel, from kShortSort rows on
constexpr int kShortSortThreads = 128;
constexpr int64_t kShortSort = 1024;
constexpr int64_t kLongestList = 16384;  // of SortListKernel

constexpr int SortSharedBytes(int threads) {
  const int warps = threads / device::kWarpThreads;
  return (warps * kMaxDigits + 2 * warps) * static_cast<int>(sizeof(int32_t));
}

constexpr int kReduceSharedBytes = device::kWarpThreads * static_cast<int>(sizeof(int32_t));

// Digits of the numbers 0 .. largest, at least one.
HOST_DEVICE inline int DigitCount(uint64_t largest) {
  int digits = 1;
  while (largest >>= kDigitBits) ++digits;
  return digits;
}

// What is sorted.
struct SortInput {
  const int32_t* leaf;      // [B, H, n]
  const int32_t* document;  // [B, n]; null: all rows are of one document
  int64_t n, heads, leaves;

  // Digits of a key whatever the documents are.
  int MaxDigitCount() const {
    return DigitCount(static_cast<uint64_t>(leaves) << (document == nullptr ? 0 : 31));
  }
};

// The least and the greatest document of a sequence; {largest, -1}: there is none.
struct DocumentRange {
  int32_t first = 0, last = 0;
};

// The keys of one list.
struct SortKeys {
  const int32_t* leaf;      // [n]
  const int32_t* document;  // [n] or null
  int32_t first;            // document
  int64_t leaves, padding;  // padding: its key, the largest

  DEVICE SortKeys(const SortInput& input, int64_t list, DocumentRange range)
      : leaf(input.leaf + list * input.n),
        document(input.document == nullptr ? nullptr
                                           : input.document + list / input.heads * input.n),
        first(range.first),
        leaves(input.leaves),
        padding(std::max<int64_t>(int64_t{range.last} - range.first + 1, 0) * leaves) {}

  DEVICE int64_t Key(int32_t position) const {
    const int32_t its_leaf = leaf[position];
    const int32_t its_document = document == nullptr ? first : document[position];
    if (its_leaf < 0 || its_document < 0) return padding;
    return (int64_t{its_document} - first) * leaves + its_leaf;
  }
};

// One digit of the keys.
struct SortDigit {
  SortKeys keys;
  int shift;
  int values;  // it is below

  DEVICE SortDigit(const SortKeys& keys_, int digit) : keys(keys_), shift(digit * kDigitBits) {
    values = static_cast<int>(std::min<int64_t>(keys.padding >> shift, kMaxDigits - 1)) + 1;
  }
  DEVICE int operator()(int32_t position) const {
    return static_cast<int>(keys.Key(position) >> shift) & (kMaxDigits - 1);
  }
};

// The rows of one warp: places [begin, end) of `from`, or of 0, 1, ... where it is null.
struct WarpRows {
  const int32_t* from;
  int64_t begin, end;

  // The rows of this thread's warp, among a block's rows [begin, end).
  template <int kThreads>
  DEVICE static WarpRows OfWarp(const int32_t* from, int64_t begin, int64_t end) {
    const int64_t count = (end - begin + kThreads - 1) / kThreads * device::kWarpThreads;
    const int64_t own = std::min(begin + device::Warp() * count, end);
    return {from, own, std::min(own + count, end)};
  }
  DEVICE int32_t Position(int64_t place) const {
    return from == nullptr ? static_cast<int32_t>(place) : from[place];
  }
};

// Collective: the sum of the values of all threads before this one; total: of all.  shared:
// kThreads / 32 elements.  Begins with a barrier, ends without one, as BlockReduce does.
template <int kThreads>
DEVICE int32_t BlockExclusiveSum(int32_t value, int32_t* shared, int32_t& total) {
  int32_t sum = value;
#pragma unroll
  for (int distance = 1; distance < device::kWarpThreads; distance *= 2) {
    const int32_t before = device::ShuffleUp(sum, distance);
    if (device::Lane() >= distance) sum += before;
  }
  device::BlockBarrier();
  if (device::Lane() == device::kWarpThreads - 1) shared[device::Warp()] = sum;
  device::BlockBarrier();
  int32_t before = 0;
  total = 0;
  for (int warp = 0; warp < kThreads / device::kWarpThreads; ++warp) {
    if (warp == device::Warp()) before = total;
    total += shared[warp];
  }
  return before + sum - value;
}

// Least and greatest document, by all threads of the block.  shared: kThreads / 32 elements.
template <int kThreads>
DEVICE DocumentRange FindDocuments(const int32_t* document, int64_t n, int32_t* shared) {
  constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();
  int32_t first = -kLargest, last = -1;  // first is negated, for the maximum
  for (int64_t i = device::Thread(); i < n; i += kThreads) {
    if (document[i] < 0) continue;
    first = std::max(first, -document[i]);
    last = std::max(last, document[i]);
  }
  first = -device::BlockMax<kThreads>(first, shared);
  return {first, device::BlockMax<kThreads>(last, shared)};
}

// counts [digit.values] of one warp = its rows of each value.  Digit: SortDigit, or what gives a
// row a value as it does.
template <typename Digit>
DEVICE void CountDigits(int32_t* counts, const Digit& digit, const WarpRows& rows) {
  for (int v = device::Lane(); v < digit.values; v += device::kWarpThreads) counts[v] = 0;
  device::WarpBarrier();
  for (int64_t i = rows.begin + device::Lane(); i < rows.end; i += device::kWarpThreads) {
    device::AtomicAdd(&counts[digit(rows.Position(i))], 1);
  }
}

// counts [warps, kMaxDigits]: a warp's rows of value v become its first slot, `begin` and what the
// warps before it have.
template <int kThreads>
DEVICE int32_t CountsToSlots(int32_t* counts, int v, int32_t begin) {
  for (int warp = 0; warp < kThreads / device::kWarpThreads; ++warp) {
    int32_t& slot = counts[warp * kMaxDigits + v];
    const int32_t count = slot;
    slot = begin;
    begin += count;
  }
  return begin;
}

// Writes a warp's rows to their slots.  slots [digit.values] of the warp: the next ones.
template <typename Digit>
DEVICE void ScatterRows(int32_t* to, int32_t* slots, const Digit& digit, const WarpRows& rows) {
  const int lane = device::Lane();
  const int bits = std::bit_width(static_cast<uint32_t>(digit.values - 1));
  for (int64_t first = rows.begin; first < rows.end; first += device::kWarpThreads) {
    const bool exists = first + lane < rows.end;
    const int32_t position = exists ? rows.Position(first + lane) : 0;
    const int value = exists ? digit(position) : 0;
    uint32_t peers = device::Ballot(exists);  // lanes of the same value
    for (int bit = 0; bit < bits; ++bit) {
      const bool set = value >> bit & 1;
      const uint32_t lanes = device::Ballot(set);
      peers &= set ? lanes : ~lanes;
    }
    const int rank = std::popcount(peers & ((uint32_t{1} << lane) - 1));
    const int32_t slot = slots[value] + rank;
    device::WarpBarrier();
    if (exists && rank == 0) slots[value] = slot + std::popcount(peers);
    device::WarpBarrier();
    if (exists) to[slot] = position;
  }
}

// One block sorts one list.  order, buffer [B, H, n]; the last digit writes `order`.
template <int kThreads>
KERNEL(kThreads)
SortListKernel(int32_t* order, int32_t* buffer, SortInput input) {
  constexpr int kWarps = kThreads / device::kWarpThreads;
  device::SharedArrays arrays;
  int32_t* counts = arrays.Take<int32_t>(kWarps * kMaxDigits);
  int32_t* shared = arrays.Take<int32_t>(kWarps);
  const int64_t list = device::BlockX(), n = input.n;
  DocumentRange documents;
  if (input.document != nullptr) {
    documents = FindDocuments<kThreads>(input.document + list / input.heads * n, n, shared);
  }
  const SortKeys keys(input, list, documents);
  const int digits = DigitCount(keys.padding);
  const int32_t* from = nullptr;
  for (int d = 0; d < digits; ++d) {
    int32_t* to = ((digits - d) % 2 == 1 ? order : buffer) + list * n;
    const SortDigit digit(keys, d);
    const WarpRows rows = WarpRows::OfWarp<kThreads>(from, 0, n);
    int32_t* own_counts = counts + device::Warp() * kMaxDigits;
    CountDigits(own_counts, digit, rows);
    device::BlockBarrier();
    const int per_thread = (digit.values + kThreads - 1) / kThreads;
    const int begin = std::min(device::Thread() * per_thread, digit.values);
    const int end = std::min(begin + per_thread, digit.values);
    int32_t count = 0, total;
    for (int v = begin; v < end; ++v) {
      for (int warp = 0; warp < kWarps; ++warp) count += counts[warp * kMaxDigits + v];
    }
    int32_t slot = BlockExclusiveSum<kThreads>(count, shared, total);
    for (int v = begin; v < end; ++v) slot = CountsToSlots<kThreads>(counts, v, slot);
    device::BlockBarrier();
    ScatterRows(to, own_counts, digit, rows);
    device::BlockBarrier();
    from = to;
  }
}

}  // namespace treeformer::cuda
