#pragma once

// TC-Attention on a GPU (tc_attention.h; how a problem is cut up: tc_sizes.cuh).
//
//   v, o, d_o, dv  bfloat16     alpha, dalpha, effects  float32
//   DocumentRuns           range
//   Forward, Backward      short documents whole, padding; a block a chunk
//   SumPieces, AddPieces   leaf sums of long documents: a block a piece, then the pieces in order
//   Fold, BuildGradients   the table of a long document, a block each
//   LookUpPieces           o and dv of its pieces
//   PieceEffects           effects of its pieces
//   AddAlpha               dalpha
// RunTcForward and RunTcBackward are the sequences.  Where a sequence is no longer than a chunk
// there is no long document, and the kernels for them are not launched.

#include "kernels/tree/tc/tc_effects.cuh"

namespace treeformer::cuda {

// range [B, n, 2]: the run of equal document ids around every position.  A block a sequence; a
// thread a stretch of positions, whose neighbours' first and last begins it reads in `shared`.
KERNEL(kTcThreads) TcDocumentRunsKernel(int32_t* range, const int32_t* document, int64_t n) {
  device::SharedArrays shared;
  int32_t* first_begin = shared.Take<int32_t>(kTcThreads);
  int32_t* last_begin = shared.Take<int32_t>(kTcThreads);
  document += device::BlockX() * n;
  range += device::BlockX() * n * 2;
  const int thread = device::Thread(), length = static_cast<int>(n);
  const int stretch = (length + kTcThreads - 1) / kTcThreads;
  const int from = std::min(thread * stretch, length), to = std::min(from + stretch, length);
  const auto begins = [&](int i) { return i == 0 || document[i] != document[i - 1]; };
  int first = length, last = -1;
  for (int i = from; i < to; ++i) {
    if (!begins(i)) continue;
    first = std::min(first, i);
    last = i;
  }
  first_begin[thread] = first;
  last_begin[thread] = last;
  device::BlockBarrier();
  int begin = -1, end = length;
  for (int t = thread - 1; t >= 0 && begin < 0; --t) begin = last_begin[t];
  for (int t = thread + 1; t < kTcThreads && end == length; ++t) end = first_begin[t];
  for (int i = from; i < to; ++i) {
    if (begins(i)) begin = i;
    range[2 * i] = begin;
  }
  for (int i = to - 1; i >= from; --i) {
    range[2 * i + 1] = end;
    if (begins(i)) end = i;
  }
}

// Whose documents the blocks go through.
struct TcDocuments {
  const int32_t *document, *range;  // [B, n], [B, n, 2]
};

// visit(rows, is_document) for the short documents that begin in a chunk, and for its padding.
// The same for all threads of the block.
template <typename Visit>
DEVICE void ForEachShort(const TcDocuments& documents, int64_t b, int64_t chunk,
                         const TcSizes& sizes, const Visit& visit) {
  const int32_t* document = documents.document + b * sizes.n;
  const int32_t* range = documents.range + b * sizes.n * 2;
  const int64_t begin = chunk * sizes.chunk, end = std::min(begin + sizes.chunk, sizes.n);
  for (int64_t i = begin; i < end;) {
    const TokenRange run = RunOf(range, i);
    if (document[i] < 0) {
      visit(TokenRange{i, std::min(run.end, end)}, false);
    } else if (run.begin == i && !IsLong(run, document[i], sizes)) {
      visit(run, true);
    }
    i = run.end;
  }
}

// One block's place: a tree is one (b, h), `part` a chunk, a table or a piece of it.
struct TcPlace {
  int64_t tree, part;

  DEVICE explicit TcPlace(int64_t parts)
      : tree(device::BlockX() / parts), part(device::BlockX() % parts) {}
};

struct TcForwardArguments {
  BFloat16* o;
  const BFloat16* v;
  const float* alpha;
  const int32_t *query_leaf, *key_leaf;
  TcDocuments documents;
  float *sum, *count;  // [B, H, chunks, nodes, width], [B, H, chunks, nodes]
  BFloat16* folded;    // [B, H, chunks, L, width]

  // The rows of one tree.
  DEVICE TcRows Keys(int64_t tree, const TcSizes& sizes) const {
    return {v + sizes.HeadOffset(tree), key_leaf + tree * sizes.n, sizes.stride(), sizes.e};
  }
};

KERNEL(kTcThreads, 2) TcForwardKernel(const TcForwardArguments arguments, const TcSizes sizes) {
  device::SharedArrays shared;
  TcTiles tiles(shared);
  const TcPlace at(sizes.chunks);
  const int64_t table = device::BlockX(), leaf_row = sizes.first_node[sizes.levels - 1];
  float* sum = arguments.sum + table * sizes.nodes * sizes.width;
  float* count = arguments.count + table * sizes.nodes;
  BFloat16* folded = arguments.folded + table * sizes.leaves * sizes.width;
  BFloat16* o = arguments.o + sizes.HeadOffset(at.tree);
  const auto visit = [&](TokenRange rows, bool is_document) {
    if (!is_document) return ZeroRows(o, rows, sizes);
    SumLeaves(sum + leaf_row * sizes.width, count + leaf_row, arguments.Keys(at.tree, sizes), rows,
              sizes, tiles);
    SumUp(sum, count, sizes);
    FoldMeans(folded, sum, count, arguments.alpha + at.tree % sizes.H * sizes.levels, sizes);
    device::BlockBarrier();
    LookUp(o, folded, arguments.query_leaf + at.tree * sizes.n, rows, sizes);
  };
  ForEachShort(arguments.documents, at.tree / sizes.H, at.part, sizes, visit);
}

DEVICE TcPiece PieceAt(const TcDocuments& documents, const TcPlace& at, const TcSizes& sizes) {
  const int64_t first = at.tree / sizes.H * sizes.n;
  return PieceOf(documents.range + 2 * first, documents.document + first, sizes, at.part);
}
DEVICE TokenRange LongDocumentAt(const TcDocuments& documents, const TcPlace& at,
                                 const TcSizes& sizes) {
  const int64_t first = at.tree / sizes.H * sizes.n;
  return LongDocument(documents.range + 2 * first, documents.document + first, sizes, at.part);
}

// sum [B, H, pieces, L, width] of x [B, n, H, e] by leaf, count [B, H, pieces, L] or null.
KERNEL(kTcThreads, 3)
TcSumPiecesKernel(float* sum, float* count, const BFloat16* x, const int32_t* leaf,
                  const TcDocuments documents, const TcSizes sizes) {
  device::SharedArrays shared;
  TcTiles tiles(shared);
  const TcPlace at(2 * sizes.chunks);
  const TcPiece piece = PieceAt(documents, at, sizes);
  if (piece.rows.empty()) return;
  const int64_t block = device::BlockX();
  const TcRows rows{x + sizes.HeadOffset(at.tree), leaf + at.tree * sizes.n, sizes.stride(),
                    sizes.e};
  SumLeaves(sum + block * sizes.leaves * sizes.width,
            count == nullptr ? nullptr : count + block * sizes.leaves, rows, piece.rows, sizes,
            tiles);
}

// Leaf rows of the tables = the sums over the pieces: block x a table, y some of the L (width + 1)
// elements; the last L are the counts (not added where `count` is null).
KERNEL(kTcThreads)
TcAddPiecesKernel(float* sum, float* count, const float* piece_sum, const float* piece_count,
                  const TcDocuments documents, const TcSizes sizes) {
  const TcPlace at(sizes.chunks);
  const TokenRange run = LongDocumentAt(documents, at, sizes);
  const int64_t sums = int64_t{sizes.leaves} * sizes.width;
  const int64_t k = int64_t{device::BlockY()} * kTcThreads + device::Thread();
  const bool counts = k >= sums;
  if (run.empty() || k >= sums + sizes.leaves || (counts && count == nullptr)) return;
  const int64_t stride = counts ? sizes.leaves : sums, element = counts ? k - sums : k;
  const float* part = (counts ? piece_count : piece_sum) + element;
  float total = 0;
  for (int64_t chunk = run.begin / sizes.chunk; chunk * sizes.chunk < run.end; ++chunk) {
    const int64_t piece = 2 * chunk + (run.begin > chunk * sizes.chunk ? 1 : 0);
    total += part[(at.tree * 2 * sizes.chunks + piece) * stride];
  }
  const int64_t table = device::BlockX(), leaf_row = sizes.first_node[sizes.levels - 1];
  if (counts) {
    count[table * sizes.nodes + leaf_row + element] = total;
  } else {
    sum[(table * sizes.nodes + leaf_row) * sizes.width + element] = total;
  }
}

KERNEL(kTcThreads) TcFoldKernel(const TcForwardArguments arguments, const TcSizes sizes) {
  const TcPlace at(sizes.chunks);
  if (LongDocumentAt(arguments.documents, at, sizes).empty()) return;
  const int64_t table = device::BlockX();
  float* sum = arguments.sum + table * sizes.nodes * sizes.width;
  float* count = arguments.count + table * sizes.nodes;
  SumUp(sum, count, sizes);
  FoldMeans(arguments.folded + table * sizes.leaves * sizes.width, sum, count,
            arguments.alpha + at.tree % sizes.H * sizes.levels, sizes);
}

// to [B, n, H, e] = table [B, H, chunks, L, width] of the row's leaf.
KERNEL(kTcThreads)
TcLookUpPiecesKernel(BFloat16* to, const BFloat16* table, const int32_t* leaf,
                     const TcDocuments documents, const TcSizes sizes) {
  const TcPlace at(2 * sizes.chunks);
  const TcPiece piece = PieceAt(documents, at, sizes);
  const int64_t row = (at.tree * sizes.chunks + piece.table) * sizes.leaves;
  LookUp(to + sizes.HeadOffset(at.tree), table + row * sizes.width, leaf + at.tree * sizes.n,
         piece.rows, sizes);
}

// The grids.
inline Blocks TcChunkBlocks(const TcSizes& sizes) { return {sizes.B * sizes.H * sizes.chunks}; }
inline Blocks TcPieceBlocks(const TcSizes& sizes) { return {2 * TcChunkBlocks(sizes).x}; }
inline Blocks TcAddBlocks(const TcSizes& sizes) {
  return {TcChunkBlocks(sizes).x,
          DivideUp(int64_t{sizes.leaves} * (sizes.width + 1), int64_t{kTcThreads})};
}

template <typename Runner>
const int32_t* RunTcDocumentRuns(Runner& runner, const int32_t* document, const TcSizes& sizes) {
  int32_t* range = runner.template Take<int32_t>(sizes.B * sizes.n * 2);
  runner.Launch(TcDocumentRunsKernel, Blocks{sizes.B}, kTcThreads,
                2 * kTcThreads * static_cast<int>(sizeof(int32_t)), range, document, sizes.n);
  return range;
}

// The leaf rows of the tables of long documents.  count may be null.
template <typename Runner>
void RunTcLongSums(Runner& runner, float* sum, float* count, const BFloat16* x, const int32_t* leaf,
                   const TcDocuments& documents, const TcSizes& sizes) {
  const int64_t rows = TcPieceBlocks(sizes).x * sizes.leaves;
  float* piece_sum = runner.template Take<float>(rows * sizes.width);
  float* piece_count = count == nullptr ? nullptr : runner.template Take<float>(rows);
  runner.Launch(TcSumPiecesKernel, TcPieceBlocks(sizes), kTcThreads, kTcSumSharedBytes, piece_sum,
                piece_count, x, leaf, documents, sizes);
  runner.Launch(TcAddPiecesKernel, TcAddBlocks(sizes), kTcThreads, 0, sum, count, piece_sum,
                piece_count, documents, sizes);
}

template <typename Runner>
void RunTcForward(Runner& runner, BFloat16* o, const BFloat16* v, const float* alpha,
                  const int32_t* query_leaf, const int32_t* key_leaf, const int32_t* document,
                  const TcSizes& sizes) {
  const int64_t tables = TcChunkBlocks(sizes).x;
  const TcDocuments documents{document, RunTcDocumentRuns(runner, document, sizes)};
  const TcForwardArguments arguments{
      o,
      v,
      alpha,
      query_leaf,
      key_leaf,
      documents,
      runner.template Take<float>(tables * sizes.nodes * sizes.width),
      runner.template Take<float>(tables * sizes.nodes),
      runner.template Take<BFloat16>(tables * sizes.leaves * sizes.width)};
  runner.Launch(TcForwardKernel, TcChunkBlocks(sizes), kTcThreads, kTcSumSharedBytes, arguments,
                sizes);
  if (sizes.n <= sizes.chunk) return;
  RunTcLongSums(runner, arguments.sum, arguments.count, v, key_leaf, documents, sizes);
  runner.Launch(TcFoldKernel, TcChunkBlocks(sizes), kTcThreads, 0, arguments, sizes);
  runner.Launch(TcLookUpPiecesKernel, TcPieceBlocks(sizes), kTcThreads, 0, o, arguments.folded,
                query_leaf, documents, sizes);
}

}  // namespace treeformer::cuda
