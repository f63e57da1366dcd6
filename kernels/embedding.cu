#include "kernels/cuda/launch.h"
#include "kernels/embedding.h"
#include "kernels/embedding_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

Table MakeTable(In values, Indices index) {
  return {values.as<BFloat16>().data(), values.shape()[0], index.data()};
}

// keys [KeyCount(N)], sorted by index and then by row
void SortKeys(Context& ctx, View<uint64_t> keys, Indices index) {
  const int64_t count = keys.count();
  const int64_t tiles = DivideUp(count, kSortTile);
  const auto sort_tiles = [&](int64_t first_size, int64_t last_size) {
    Launch(ctx, SortTilesKernel, {tiles}, kSortThreads, kSortSharedBytes, keys.data(), first_size,
           last_size);
  };
  Launch(ctx, MakeKeysKernel, {DivideUp(count, kSortThreads)}, kSortThreads, 0, keys.data(),
         index.data(), index.count(), count);
  sort_tiles(2, kSortTile);
  for (int64_t size = 2 * kSortTile; size <= count; size *= 2) {
    for (int64_t stride = size / 2; stride >= kSortTile; stride /= 2) {
      Launch(ctx, SortStepKernel, {DivideUp(count / 2, kSortThreads)}, kSortThreads, 0, keys.data(),
             stride, size, count);
    }
    sort_tiles(size, size);
  }
}

template <typename T>
void ScatterAdd(Context& ctx, View<T> dx, In dy, Indices rows) {
  const int64_t N = dy.shape()[0], C = dy.shape()[1];
  CHECK_LE(N, std::numeric_limits<int32_t>::max());
  Scratch::Scope scope(ctx.scratch());
  const View<uint64_t> keys = scope.Take<uint64_t>({KeyCount(N)});
  const View<float> partial = scope.Take<float>({RunTiles(N), 2, C});
  SortKeys(ctx, keys, rows);
  const bool vectors = AllowsVectors(C, {In(dx), dy});
  const int64_t columns = device::kWarpThreads * (vectors ? 8 : 1);
  const Blocks tiles{RunTiles(N), DivideUp(C, columns)};
  const auto sum_runs = vectors ? SumRunsKernel<8, T> : SumRunsKernel<1, T>;
  Launch(ctx, sum_runs, tiles, device::kWarpThreads, 0, dx.data(), partial.data(),
         dy.as<BFloat16>().data(), keys.data(), dx.shape()[0], N, C);
  const auto add_runs = vectors ? AddRunsKernel<8, T> : AddRunsKernel<1, T>;
  Launch(ctx, add_runs, tiles, device::kWarpThreads, 0, dx.data(), partial.data(), keys.data(),
         dx.shape()[0], N, C);
}

}  // namespace
}  // namespace cuda

void cuda::EmbeddingForward(Context& ctx, Out y, const EmbeddingTables& tables,
                            const EmbeddingIndices& indices) {
  const int64_t N = y.shape()[0], C = y.shape()[1];
  const auto kernel = AllowsVectors(C, {y, tables.token, tables.position, tables.type})
                          ? EmbeddingForwardKernel<8>
                          : EmbeddingForwardKernel<1>;
  Launch(ctx, kernel, {DivideUp(N, kEmbeddingWarps)}, kEmbeddingThreads, 0, y.as<BFloat16>().data(),
         MakeTable(tables.token, indices.tokens), MakeTable(tables.position, indices.positions),
         MakeTable(tables.type, indices.types), N, C);
}

void cuda::EmbeddingBackward(Context& ctx, const EmbeddingGradients& gradients, In dy,
                             const EmbeddingIndices& indices) {
  ScatterAdd<float>(ctx, gradients.token, dy, indices.tokens);
  ScatterAdd<float>(ctx, gradients.position, dy, indices.positions);
  ScatterAdd<float>(ctx, gradients.type, dy, indices.types);
}

void cuda::GatherRows(Context& ctx, Out y, In x, Indices rows) {
  const int64_t N = y.shape()[0], C = y.shape()[1];
  const auto kernel = AllowsVectors(C, {y, x}) ? GatherRowsKernel<8> : GatherRowsKernel<1>;
  Launch(ctx, kernel, {DivideUp(N, kEmbeddingWarps)}, kEmbeddingThreads, 0, y.as<BFloat16>().data(),
         MakeTable(x, rows), N, C);
}

void cuda::ScatterAddRows(Context& ctx, Acc dx, In dy, Indices rows) {
  ScatterAdd<BFloat16>(ctx, dx, dy, rows);
}

}  // namespace treeformer
