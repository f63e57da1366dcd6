#pragma once

// What the kernels of TC-Attention know of their problem, and how they cut it up.
//
// A table has a row of `width` columns for every node of one document's tree in one head, breadth
// first.  A sequence is cut into chunks of `chunk` tokens.  A document of at most one chunk is
// short: the block of the chunk where it begins does everything, in table memory of its own.  A
// long document is cut at the chunks into pieces of a block each; a chunk holds two pieces at most,
// of the long document over its first token (2 c) and of the one that begins later (2 c + 1).  The
// table of a long document is that of the first chunk that begins inside of it.  So the host need
// not know how many documents there are: of every kind there is one table a chunk.

#include <algorithm>

#include "kernels/cuda/blocks.h"
#include "kernels/cuda/device.cuh"
#include "kernels/tree/tree_shape.h"

namespace treeformer::cuda {

constexpr int kTcThreads = 256;
constexpr int kTcMaxLevels = 22;

struct TcSizes {
  int64_t B, n;
  int H, e;
  int width;  // e up to a multiple of 16: the other columns are 0
  int levels, leaves, nodes;
  int first_node[kTcMaxLevels + 1];  // of a level
  int leaves_below[kTcMaxLevels];    // a node of the level
  int64_t chunk, chunks;             // tokens; of one sequence

  // A multiple of leaves, so that a table costs less than the rows that it is made of, and long
  // enough that a few thousand blocks share all rows.
  TcSizes(const TreeShape& shape, int64_t sequences, int64_t tokens, int64_t heads, int64_t columns)
      : B(sequences),
        n(tokens),
        H(static_cast<int>(heads)),
        e(static_cast<int>(columns)),
        width(static_cast<int>(DivideUp(columns, 16) * 16)),
        levels(shape.height() + 1),
        leaves(static_cast<int>(shape.leaves())),
        nodes(static_cast<int>(shape.total_nodes())) {
    for (int l = 0; l < levels; ++l) {
      first_node[l] = static_cast<int>(shape.FirstNode(l));
      leaves_below[l] = static_cast<int>(shape.leaves() / shape.Nodes(l));
    }
    first_node[levels] = nodes;
    SetChunk(std::max({int64_t{512}, int64_t{8} * leaves, DivideUp(B * H * n, 2048)}));
  }
  void SetChunk(int64_t token_count) {
    chunk = token_count;
    chunks = DivideUp(n, chunk);
  }

  DEVICE int NodeAbove(int leaf, int level) const {
    return first_node[level] + leaf / leaves_below[level];
  }
  // Rows of one head of [B, n, H, e], and their distance.
  DEVICE int64_t HeadOffset(int64_t tree) const { return (tree / H * n * H + tree % H) * e; }
  DEVICE int64_t stride() const { return int64_t{H} * e; }
};

// The tokens [begin, end) of one document.
struct TokenRange {
  int64_t begin = 0, end = 0;

  DEVICE bool empty() const { return begin == end; }
};

// range [n, 2]: for every position the run of equal document ids that it is in, [begin, end).
DEVICE TokenRange RunOf(const int32_t* range, int64_t position) {
  return {range[2 * position], range[2 * position + 1]};
}

struct TcPiece {
  TokenRange rows;  // empty: there is none
  int64_t table;    // of the long document
};

DEVICE bool IsLong(TokenRange run, int32_t document, const TcSizes& sizes) {
  return document >= 0 && run.end - run.begin > sizes.chunk;
}

// range, document: of one sequence.
DEVICE TcPiece PieceOf(const int32_t* range, const int32_t* document, const TcSizes& sizes,
                       int64_t piece) {
  const int64_t begin = piece / 2 * sizes.chunk, end = std::min(begin + sizes.chunk, sizes.n);
  const bool begins_later = piece % 2 == 1;
  const int64_t position = begins_later ? end - 1 : begin;
  const TokenRange run = RunOf(range, position);
  if (!IsLong(run, document[position], sizes)) return {};
  if (begins_later && run.begin <= begin) return {};
  return {{std::max(run.begin, begin), std::min(run.end, end)}, DivideUp(run.begin, sizes.chunk)};
}

// The long document whose table this is.
DEVICE TokenRange LongDocument(const int32_t* range, const int32_t* document, const TcSizes& sizes,
                               int64_t table) {
  const int64_t position = table * sizes.chunk;
  const TokenRange run = RunOf(range, position);
  const bool owns =
      IsLong(run, document[position], sizes) && DivideUp(run.begin, sizes.chunk) == table;
  return owns ? run : TokenRange{};
}

}  // namespace treeformer::cuda
