#pragma once

// The sort of sort_kernels.cuh for lists that are too long for one block: three kernels a digit.
//
//   CountChunksKernel    rows of each value of the digit in each chunk of kChunk rows
//   ScanChunksKernel     the first slot of each (value, chunk), in this order
//   ScatterChunksKernel  rows to their slots
//
// The host launches MaxDigitCount() passes, as many as a key may have digits whatever the documents
// are.  Pass p sorts by digit p - (passes - digits): the first passes have nothing to do, the last
// one writes `order`.

#include "kernels/tree/buckets/sort_kernels.cuh"

namespace treeformer::cuda {

constexpr int kChunkThreads = 256;
constexpr int64_t kChunk = 4096;  // rows

// range [B]
KERNEL(kChunkThreads)
DocumentRangeKernel(DocumentRange* range, const int32_t* document, int64_t n) {
  int32_t* shared = reinterpret_cast<int32_t*>(device::SharedMemory());
  const int b = device::BlockX();
  const DocumentRange found = FindDocuments<kChunkThreads>(document + b * n, n, shared);
  if (device::Thread() == 0) range[b] = found;
}

struct SortPass {
  SortInput input;
  const DocumentRange* range;  // [B], or null
  int32_t* order;              // [B, H, n]
  int32_t* buffer;
  int32_t* table;  // [B, H, kMaxDigits, chunks], packed to the digit's values: rows, then slots
  int64_t chunks;
  int number, passes;  // this pass, of so many
};

// What a block of a pass needs.
struct ListPass {
  SortKeys keys;
  int digit;  // negative: nothing to do
  const int32_t* from;
  int32_t* to;
  int32_t* table;

  DEVICE ListPass(const SortPass& pass, int64_t list)
      : keys(pass.input, list,
             pass.range == nullptr ? DocumentRange{} : pass.range[list / pass.input.heads]),
        digit(pass.number - pass.passes + DigitCount(keys.padding)),
        table(pass.table + list * kMaxDigits * pass.chunks) {
    const bool last = (pass.passes - pass.number) % 2 == 1;  // or two before it, ...
    const int64_t offset = list * pass.input.n;
    from = digit == 0 ? nullptr : (last ? pass.buffer : pass.order) + offset;
    to = (last ? pass.order : pass.buffer) + offset;
  }
};

// Grid: chunks x lists, in one axis.
KERNEL(kChunkThreads) CountChunksKernel(SortPass pass) {
  int32_t* counts = reinterpret_cast<int32_t*>(device::SharedMemory());
  const int64_t list = device::BlockX() / pass.chunks, chunk = device::BlockX() % pass.chunks;
  const ListPass own(pass, list);
  if (own.digit < 0) return;
  const SortDigit digit(own.keys, own.digit);
  const int64_t begin = chunk * kChunk, end = std::min(begin + kChunk, pass.input.n);
  const WarpRows rows{own.from, begin, end};
  for (int v = device::Thread(); v < digit.values; v += kChunkThreads) counts[v] = 0;
  device::BlockBarrier();
  for (int64_t i = begin + device::Thread(); i < end; i += kChunkThreads) {
    device::AtomicAdd(&counts[digit(rows.Position(i))], 1);
  }
  device::BlockBarrier();
  for (int v = device::Thread(); v < digit.values; v += kChunkThreads) {
    own.table[v * pass.chunks + chunk] = counts[v];
  }
}

constexpr int kScanThreads = 1024;
constexpr int kScanPerThread = 4;

// One block a list.
KERNEL(kScanThreads) ScanChunksKernel(SortPass pass) {
  int32_t* shared = reinterpret_cast<int32_t*>(device::SharedMemory());
  const ListPass own(pass, device::BlockX());
  if (own.digit < 0) return;
  const int64_t count = SortDigit(own.keys, own.digit).values * pass.chunks;
  int32_t before = 0;
  for (int64_t tile = 0; tile < count; tile += kScanThreads * kScanPerThread) {
    const int64_t begin = tile + device::Thread() * kScanPerThread;
    int32_t value[kScanPerThread], sum = 0, total;
#pragma unroll
    for (int i = 0; i < kScanPerThread; ++i) {
      value[i] = begin + i < count ? own.table[begin + i] : 0;
      sum += value[i];
    }
    int32_t slot = before + BlockExclusiveSum<kScanThreads>(sum, shared, total);
#pragma unroll
    for (int i = 0; i < kScanPerThread; ++i) {
      if (begin + i < count) own.table[begin + i] = slot;
      slot += value[i];
    }
    before += total;
  }
}

KERNEL(kChunkThreads) ScatterChunksKernel(SortPass pass) {
  int32_t* counts = reinterpret_cast<int32_t*>(device::SharedMemory());
  const int64_t list = device::BlockX() / pass.chunks, chunk = device::BlockX() % pass.chunks;
  const ListPass own(pass, list);
  if (own.digit < 0) return;
  const SortDigit digit(own.keys, own.digit);
  const int64_t begin = chunk * kChunk;
  const WarpRows rows =
      WarpRows::OfWarp<kChunkThreads>(own.from, begin, std::min(begin + kChunk, pass.input.n));
  int32_t* own_counts = counts + device::Warp() * kMaxDigits;
  CountDigits(own_counts, digit, rows);
  device::BlockBarrier();
  for (int v = device::Thread(); v < digit.values; v += kChunkThreads) {
    CountsToSlots<kChunkThreads>(counts, v, own.table[v * pass.chunks + chunk]);
  }
  device::BlockBarrier();
  ScatterRows(own.to, own_counts, digit, rows);
}

}  // namespace treeformer::cuda
