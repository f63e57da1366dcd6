#pragma once

// The backward half of tc_attention_kernels.cuh.

#include "kernels/tree/tc/tc_attention_kernels.cuh"

namespace treeformer::cuda {

struct TcBackwardArguments {
  BFloat16* dv;
  float *query_effect, *key_effect;  // either may be null
  const BFloat16 *d_o, *v;
  const float* alpha;
  const int32_t *query_leaf, *key_leaf;
  TcDocuments documents;
  TcTables tables;  // of the first chunk of [B, H, chunks]
  float* dalpha;    // [B, H, chunks, 2, levels]: of a chunk's short documents, of its long one

  DEVICE TcRows Queries(int64_t tree, const TcSizes& sizes) const {
    return {d_o + sizes.HeadOffset(tree), query_leaf + tree * sizes.n, sizes.stride(), sizes.e};
  }
  DEVICE TcRows Keys(int64_t tree, const TcSizes& sizes) const {
    return {v + sizes.HeadOffset(tree), key_leaf + tree * sizes.n, sizes.stride(), sizes.e};
  }
  DEVICE TcTables TablesOf(int64_t table, const TcSizes& sizes) const {
    const int64_t nodes = table * sizes.nodes, leaves = table * sizes.leaves;
    const int64_t leaf_rows = leaves * sizes.width;
    return {tables.sum + nodes * sizes.width,
            tables.query_sum + nodes * sizes.width,
            tables.count + nodes,
            tables.dot + nodes,
            tables.dv + leaf_rows,
            {tables.folded.high + leaf_rows, tables.folded.low + leaf_rows},
            {tables.joining.high + leaf_rows, tables.joining.low + leaf_rows},
            tables.offset + leaves};
  }
};

// The two sides go through loops that are not unrolled: half the code, fewer registers.
DEVICE void TcRowEffects(const TcBackwardArguments& arguments, TcOwnPaths paths,
                         const TcTables& tables, int64_t tree, TokenRange rows,
                         const TcSizes& sizes) {
  const int64_t first = tree * sizes.n * sizes.leaves;
#pragma unroll 1
  for (int side = 0; side < 2; ++side) {
    const bool keys = side == 1;
    float* effect = keys ? arguments.key_effect : arguments.query_effect;
    if (effect == nullptr) continue;
    RowEffects(effect + first, keys, paths, tables,
               keys ? arguments.Keys(tree, sizes) : arguments.Queries(tree, sizes), rows,
               arguments.alpha + tree % sizes.H * sizes.levels, sizes);
  }
}

DEVICE void TcZeroPadding(const TcBackwardArguments& arguments, int64_t tree, TokenRange rows,
                          const TcSizes& sizes) {
  ZeroRows(arguments.dv + sizes.HeadOffset(tree), rows, sizes);
#pragma unroll 1
  for (int side = 0; side < 2; ++side) {
    float* effect = side == 1 ? arguments.key_effect : arguments.query_effect;
    if (effect != nullptr) ZeroEffects(effect + tree * sizes.n * sizes.leaves, rows, sizes);
  }
}

KERNEL(kTcThreads, 2) TcBackwardKernel(const TcBackwardArguments arguments, const TcSizes sizes) {
  device::SharedArrays shared;
  TcTiles tiles(shared);
  const TcOwnPaths paths = TakePaths(shared, sizes);
  const TcPlace at(sizes.chunks);
  const TcTables tables = arguments.TablesOf(device::BlockX(), sizes);
  const int64_t leaf_row = sizes.first_node[sizes.levels - 1];
  float* dalpha = arguments.dalpha + int64_t{device::BlockX()} * 2 * sizes.levels;
  for (int k = device::Thread(); k < 2 * sizes.levels; k += kTcThreads) dalpha[k] = 0;
  const auto visit = [&](TokenRange rows, bool is_document) {
    if (!is_document) return TcZeroPadding(arguments, at.tree, rows, sizes);
#pragma unroll 1
    for (int side = 0; side < 2; ++side) {
      const bool keys = side == 1;
      SumLeaves((keys ? tables.sum : tables.query_sum) + leaf_row * sizes.width,
                keys ? tables.count + leaf_row : nullptr,
                keys ? arguments.Keys(at.tree, sizes) : arguments.Queries(at.tree, sizes), rows,
                sizes, tiles);
    }
    BuildTables(tables, dalpha, arguments.alpha + at.tree % sizes.H * sizes.levels, sizes);
    LookUp(arguments.dv + sizes.HeadOffset(at.tree), tables.dv,
           arguments.key_leaf + at.tree * sizes.n, rows, sizes);
    TcRowEffects(arguments, paths, tables, at.tree, rows, sizes);
  };
  ForEachShort(arguments.documents, at.tree / sizes.H, at.part, sizes, visit);
}

KERNEL(kTcThreads)
TcBuildGradientsKernel(const TcBackwardArguments arguments, const TcSizes sizes) {
  const TcPlace at(sizes.chunks);
  if (LongDocumentAt(arguments.documents, at, sizes).empty()) return;
  const int64_t table = device::BlockX();
  BuildTables(arguments.TablesOf(table, sizes), arguments.dalpha + (2 * table + 1) * sizes.levels,
              arguments.alpha + at.tree % sizes.H * sizes.levels, sizes);
}

KERNEL(kTcThreads)
TcPieceEffectsKernel(const TcBackwardArguments arguments, const TcSizes sizes) {
  device::SharedArrays shared;
  const TcOwnPaths paths = TakePaths(shared, sizes);
  const TcPlace at(2 * sizes.chunks);
  const TcPiece piece = PieceAt(arguments.documents, at, sizes);
  TcRowEffects(arguments, paths, arguments.TablesOf(at.tree * sizes.chunks + piece.table, sizes),
               at.tree, piece.rows, sizes);
}

// dalpha [H, levels] += part [B, H, chunks, 2, levels]: a warp an element.
KERNEL(kTcThreads) TcAddAlphaKernel(float* dalpha, const float* part, const TcSizes sizes) {
  const int64_t element = int64_t{device::BlockX()} * kTcWarps + device::Warp();
  if (element >= int64_t{sizes.H} * sizes.levels) return;
  const int64_t h = element / sizes.levels, level = element % sizes.levels;
  const int64_t parts = 2 * sizes.chunks;
  float sum = 0;
  for (int64_t k = device::Lane(); k < sizes.B * parts; k += device::kWarpThreads) {
    sum += part[((k / parts * sizes.H + h) * parts + k % parts) * sizes.levels + level];
  }
  sum = device::WarpSum(sum);
  if (device::Lane() == 0) dalpha[element] += sum;
}

// gain = effect[alternative] - effect[leaf], 0 for padding.
KERNEL(kTcThreads)
GainFromEffectsKernel(float* gain, const float* effect, const int32_t* leaf,
                      const int32_t* alternative, int64_t rows, int64_t leaves) {
  const int64_t row = int64_t{device::BlockX()} * kTcThreads + device::Thread();
  if (row >= rows) return;
  const float* own = effect + row * leaves;
  gain[row] = leaf[row] < 0 ? 0 : own[alternative[row]] - own[leaf[row]];
}

template <typename Runner>
TcTables TakeTcTables(Runner& runner, const TcSizes& sizes) {
  const int64_t nodes = TcChunkBlocks(sizes).x * sizes.nodes;
  const int64_t leaves = TcChunkBlocks(sizes).x * sizes.leaves;
  const auto floats = [&](int64_t count) { return runner.template Take<float>(count); };
  const auto leaf_rows = [&] { return runner.template Take<BFloat16>(leaves * sizes.width); };
  float *sum = floats(nodes * sizes.width), *query_sum = floats(nodes * sizes.width);
  float *count = floats(nodes), *dot = floats(nodes), *offset = floats(leaves);
  BFloat16 *dv = leaf_rows(), *folded = leaf_rows(), *folded_low = leaf_rows();
  BFloat16 *joining = leaf_rows(), *joining_low = leaf_rows();
  return {sum, query_sum, count, dot, dv, {folded, folded_low}, {joining, joining_low}, offset};
}

// query_effect and key_effect may be null.
template <typename Runner>
void RunTcBackward(Runner& runner, BFloat16* dv, float* dalpha, float* query_effect,
                   float* key_effect, const BFloat16* d_o, const BFloat16* v, const float* alpha,
                   const int32_t* query_leaf, const int32_t* key_leaf, const int32_t* document,
                   const TcSizes& sizes) {
  const TcDocuments documents{document, RunTcDocumentRuns(runner, document, sizes)};
  const TcTables tables = TakeTcTables(runner, sizes);
  float* parts = runner.template Take<float>(TcPieceBlocks(sizes).x * sizes.levels);
  const TcBackwardArguments arguments{dv,         query_effect, key_effect, d_o,    v,    alpha,
                                      query_leaf, key_leaf,     documents,  tables, parts};
  const int path_bytes = TcPathSharedBytes(sizes.levels);
  runner.Launch(TcBackwardKernel, TcChunkBlocks(sizes), kTcThreads, kTcSumSharedBytes + path_bytes,
                arguments, sizes);
  if (sizes.n > sizes.chunk) {
    RunTcLongSums(runner, tables.sum, tables.count, v, key_leaf, documents, sizes);
    RunTcLongSums(runner, tables.query_sum, /*count=*/nullptr, d_o, query_leaf, documents, sizes);
    runner.Launch(TcBuildGradientsKernel, TcChunkBlocks(sizes), kTcThreads, 0, arguments, sizes);
    runner.Launch(TcLookUpPiecesKernel, TcPieceBlocks(sizes), kTcThreads, 0, dv, tables.dv,
                  key_leaf, documents, sizes);
    if (query_effect != nullptr || key_effect != nullptr) {
      runner.Launch(TcPieceEffectsKernel, TcPieceBlocks(sizes), kTcThreads, path_bytes, arguments,
                    sizes);
    }
  }
  runner.Launch(TcAddAlphaKernel, Blocks{DivideUp(int64_t{sizes.H} * sizes.levels, kTcWarps)},
                kTcThreads, 0, dalpha, parts, sizes);
}

template <typename Runner>
void RunGainFromEffects(Runner& runner, float* gain, const float* effect, const int32_t* leaf,
                        const int32_t* alternative, int64_t rows, int64_t leaves) {
  runner.Launch(GainFromEffectsKernel, Blocks{DivideUp(rows, kTcThreads)}, kTcThreads, 0, gain,
                effect, leaf, alternative, rows, leaves);
}

}  // namespace treeformer::cuda
