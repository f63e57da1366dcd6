#include "kernels/cuda/launch.h"
#include "kernels/tree/buckets_kernels.cuh"
#include "kernels/tree/sort.h"
#include "kernels/tree/sort_long_kernels.cuh"

namespace cuda {
namespace {

template <int kThreads>
void SortLists(Context& ctx, View<int32_t> order, const SortInput& input) {
  Scratch::Scope scope(ctx.scratch());
  const View<int32_t> buffer = scope.Take<int32_t>(order.shape());
  constexpr int kBytes = SortSharedBytes(kThreads);
  AllowSharedBytes(SortListKernel<kThreads>, kBytes);
  const int lists = BlockCount(order.count(), input.n);
  SortListKernel<kThreads>
      <<<lists, kThreads, kBytes, ctx.stream()>>>(order.data(), buffer.data(), input);
  KERNEL_CHECK(ctx.stream());
}

void SortLongLists(Context& ctx, View<int32_t> order, const SortInput& input) {
  const int64_t lists = order.count() / input.n, B = lists / input.heads;
  const int64_t chunks = DivideUp(input.n, kChunk);
  Scratch::Scope scope(ctx.scratch());
  const View<int32_t> buffer = scope.Take<int32_t>(order.shape());
  const View<int32_t> table = scope.Take<int32_t>({lists, kMaxDigits, chunks});
  DocumentRange* range = nullptr;
  if (input.document != nullptr) {
    range = reinterpret_cast<DocumentRange*>(scope.Take<int32_t>({B, 2}).data());
    DocumentRangeKernel<<<BlockCount(B, 1), kChunkThreads, kReduceSharedBytes, ctx.stream()>>>(
        range, input.document, input.n);
    KERNEL_CHECK(ctx.stream());
  }
  constexpr int kBytes = SortSharedBytes(kChunkThreads);
  AllowSharedBytes(ScatterChunksKernel, kBytes);
  SortPass pass{input, range, order.data(), buffer.data(), table.data(), chunks, 0, 0};
  pass.passes = input.MaxDigitCount();
  const int blocks = BlockCount(lists * chunks, 1);
  for (; pass.number < pass.passes; ++pass.number) {
    CountChunksKernel<<<blocks, kChunkThreads, kMaxDigits * sizeof(int32_t), ctx.stream()>>>(pass);
    KERNEL_CHECK(ctx.stream());
    ScanChunksKernel<<<BlockCount(lists, 1), kScanThreads, kReduceSharedBytes, ctx.stream()>>>(
        pass);
    KERNEL_CHECK(ctx.stream());
    ScatterChunksKernel<<<blocks, kChunkThreads, kBytes, ctx.stream()>>>(pass);
    KERNEL_CHECK(ctx.stream());
  }
}

}  // namespace

void SortRows(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
  const int64_t H = leaf.shape()[1], n = leaf.shape()[2];
  CHECK_LT(n, std::numeric_limits<int32_t>::max());
  CHECK_LT(leaves, std::numeric_limits<int32_t>::max());
  const SortInput input{leaf.data(), document.data(), n, H, leaves};
  if (n <= kShortSort) {
    SortLists<kShortSortThreads>(ctx, order, input);
  } else if (n <= kLongestList) {
    SortLists<kLongSortThreads>(ctx, order, input);
  } else {
    SortLongLists(ctx, order, input);
  }
}

void SortByLeaf(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
  SortRows(ctx, order, leaf, document, leaves);
}

void MatchRanges(Context& ctx, View<int32_t> range, Ids order, Ids leaf, Ids other_order,
                 Ids other_leaf, Ids document, int64_t /*leaves*/) {
  const int64_t H = leaf.shape()[1], n = leaf.shape()[2];
  MatchRangesKernel<<<BlockCount(leaf.count(), kMatchThreads), kMatchThreads, 0, ctx.stream()>>>(
      range.data(), order.data(), leaf.data(), other_order.data(), other_leaf.data(),
      document.data(), n, H, leaf.count());
  KERNEL_CHECK(ctx.stream());
}

void CountLeaves(Context& ctx, View<int32_t> count, Ids leaf) {
  const int64_t lists = leaf.shape()[0] * leaf.shape()[1], n = leaf.shape()[2];
  Zero(ctx, count);
  if (n == 0) return;
  const int64_t chunks = DivideUp(n, kCountRows);
  CountLeavesKernel<<<BlockCount(lists * chunks, 1), kCountThreads, kCountSharedBytes,
                      ctx.stream()>>>(count.data(), leaf.data(), n, count.shape()[2], chunks);
  KERNEL_CHECK(ctx.stream());
}

}  // namespace cuda
