#include "kernels/cuda/launch.h"
#include "kernels/tree/buckets/buckets_kernels.cuh"
#include "kernels/tree/buckets/sort.h"
#include "kernels/tree/buckets/sort_long_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

template <int kThreads>
void SortLists(Context& ctx, View<int32_t> order, const SortInput& input) {
  Scratch::Scope scope(ctx.scratch());
  const View<int32_t> buffer = scope.Take<int32_t>(order.shape());
  constexpr int kBytes = SortSharedBytes(kThreads);
  const int64_t lists = order.count() / input.n;
  Launch(ctx, SortListKernel<kThreads>, {lists}, kThreads, kBytes, order.data(), buffer.data(),
         input);
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
    Launch(ctx, DocumentRangeKernel, {B}, kChunkThreads, kReduceSharedBytes, range, input.document,
           input.n);
  }
  constexpr int kBytes = SortSharedBytes(kChunkThreads);
  SortPass pass{input, range, order.data(), buffer.data(), table.data(), chunks, 0, 0};
  pass.passes = input.MaxDigitCount();
  const int64_t blocks = lists * chunks;
  for (; pass.number < pass.passes; ++pass.number) {
    Launch(ctx, CountChunksKernel, {blocks}, kChunkThreads, kMaxDigits * sizeof(int32_t), pass);
    Launch(ctx, ScanChunksKernel, {lists}, kScanThreads, kReduceSharedBytes, pass);
    Launch(ctx, ScatterChunksKernel, {blocks}, kChunkThreads, kBytes, pass);
  }
}

}  // namespace
}  // namespace cuda

void cuda::SortRows(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
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

void cuda::SortByLeaf(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
  SortRows(ctx, order, leaf, document, leaves);
}

void cuda::MatchRanges(Context& ctx, View<int32_t> range, const RowsByLeaf& rows,
                       const RowsByLeaf& others) {
  const int64_t count = rows.leaf.count();
  const auto sorted = [](const RowsByLeaf& side) {
    return SortedSide{side.order.data(), side.leaf.data(), side.document.data(),
                      side.leaf.shape()[2]};
  };
  Launch(ctx, MatchRangesKernel, {DivideUp(count, kMatchThreads)}, kMatchThreads, 0, range.data(),
         sorted(rows), sorted(others), rows.leaf.shape()[1], count);
}

void cuda::CountLeaves(Context& ctx, View<int32_t> count, Ids leaf) {
  const int64_t lists = leaf.shape()[0] * leaf.shape()[1], n = leaf.shape()[2];
  if (n == 0) return;
  const int64_t chunks = DivideUp(n, kCountRows);
  Launch(ctx, CountLeavesKernel, {lists * chunks}, kCountThreads, kCountSharedBytes, count.data(),
         leaf.data(), n, count.shape()[2], chunks);
}

}  // namespace treeformer
