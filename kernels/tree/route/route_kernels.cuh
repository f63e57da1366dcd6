#pragma once

// Route on a GPU: route.h.  x bfloat16, weight and bias float32 (they are parameters); the weights
// are rounded to bfloat16, products are exact and summed in float32, the bias is added last.
// strength and margin float32.
//
// RoundPlanesKernel writes the rounded planes of a head in tiles [E / 32, P / 8, 8, 32], zero past
// P and E: a lane's share of two matrix products (columns 8 (l % 4) .. + 7 of row l / 4) is 16
// bytes, here and in x, so both come from global memory straight into registers.  (The products sum
// over the columns in another order than the fragments', the same for both.)
//
// RouteKernel: a warp takes 32 rows of one head.  All planes of the top levels (at most
// kMaxProductPlanes) by matrix products into shared memory; then every lane walks its own row.
// Below the top levels the lanes score the nodes on their paths together, eight lanes a row.

#include "kernels/cuda/device.cuh"
#include "kernels/tree/route/flip.h"

namespace treeformer::cuda {

constexpr int kRouteThreads = 128;
constexpr int kRouteWarps = kRouteThreads / device::kWarpThreads;
constexpr int kRouteRows = kRouteThreads;  // of one head in a block
constexpr int kMaxProductPlanes = 128;
constexpr int kPlaneTileRows = 8;
constexpr int kPlaneTileColumns = 32;
constexpr int kPlaneTileCount = kPlaneTileRows * kPlaneTileColumns;

// Tiles of planes in one pass of RouteKernel<kTiles>.
inline int RouteTiles(int product_planes) {
  int tiles = 1;
  while (tiles < 8 && tiles * kPlaneTileRows < product_planes) tiles *= 2;
  return tiles;
}

// The planes of the top levels that fit into the product.
inline int ProductPlanes(const TreeShape& shape) {
  int level = 0;
  while (level < shape.height() && shape.FirstPlane(level + 1) <= kMaxProductPlanes) ++level;
  return static_cast<int>(shape.FirstPlane(level));
}

struct RouteSizes {
  int64_t n;
  int rows;  // B n
  int heads, x_heads;
  int planes;          // P
  int product_planes;  // of the top levels
  int plane_tiles;     // of P, whole passes
  int columns;         // E
  int column_tiles;

  RouteSizes(int64_t B, int64_t n_, int64_t H, int64_t x_heads_, int64_t E, const TreeShape& shape)
      : n(n_),
        rows(static_cast<int>(B * n)),
        heads(static_cast<int>(H)),
        x_heads(static_cast<int>(x_heads_)),
        planes(static_cast<int>(shape.planes())),
        product_planes(ProductPlanes(shape)),
        columns(static_cast<int>(E)),
        column_tiles((columns + kPlaneTileColumns - 1) / kPlaneTileColumns) {
    const int pass = RouteTiles(product_planes);
    plane_tiles = ((planes + kPlaneTileRows - 1) / kPlaneTileRows + pass - 1) / pass * pass;
  }
  // Elements of one head's rounded planes.
  HOST_DEVICE int64_t rounded_count() const {
    return int64_t{plane_tiles} * column_tiles * kPlaneTileCount;
  }
};

// A path's numbers, null where Route was given none.
struct RouteOutputs {
  int32_t* leaf;
  float* strength;
  int32_t* alternative;  // null: the three below too
  int32_t* own_plane;
  int32_t* other_plane;
  float* margin;
};

inline int RouteSharedBytes(int product_planes) {
  const int pass = RouteTiles(product_planes) * kPlaneTileRows;
  const int planes = (product_planes + pass - 1) / pass * pass;
  return kRouteThreads * planes * static_cast<int>(sizeof(float));
}

constexpr int kRoundThreads = 256;

// Thread by thread, eight columns each.  rounded [H, RouteSizes::rounded_count()]
KERNEL(kRoundThreads)
RoundPlanesKernel(BFloat16* rounded, const float* weight, RouteSizes sizes) {
  const int64_t count = sizes.rounded_count();
  const int64_t begin = (int64_t{device::BlockX()} * kRoundThreads + device::Thread()) * 8;
  if (begin >= sizes.heads * count) return;
  const int64_t head = begin / count, tile = begin % count / kPlaneTileCount;
  const int place = static_cast<int>(begin % kPlaneTileCount);
  const int64_t plane = tile % sizes.plane_tiles * kPlaneTileRows + place / kPlaneTileColumns;
  const int64_t column = tile / sizes.plane_tiles * kPlaneTileColumns + place % kPlaneTileColumns;
  const float* w = weight + (head * sizes.planes + plane) * sizes.columns;
  float value[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    value[i] = plane < sizes.planes && column + i < sizes.columns ? w[column + i] : 0;
  }
  device::Store(rounded + begin, device::Pack(value));
}

// The 32 rows of x that a warp routes.
struct RouteRows {
  const BFloat16* x;  // of this head, row 0
  int64_t stride;     // elements from row to row
  int first, end;     // rows; reads stop before `end`
  int columns;
  bool aligned;  // all rows begin at multiples of 16 bytes

  // Columns column .. + 7 of row first + r, zero where there are none.
  DEVICE device::Vector16 Load(int r, int column) const {
    device::Vector16 vector{};
    if (first + r >= end || column >= columns) return vector;
    const BFloat16* row = x + (first + r) * stride + column;
    if (aligned) return device::Load<device::Vector16>(row);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t bits = column + i < columns ? row[i].bits : 0;
      vector.word[i / 2] |= bits << (i % 2 * 16);
    }
    return vector;
  }
};

// One head's planes.
struct RoutePlanes {
  const BFloat16* rounded;
  const float* bias;
  int planes, plane_tiles, column_tiles;

  // Columns column .. + 7, column a multiple of 8, of a row of a tile.
  DEVICE const BFloat16* Place(int tile, int row, int column) const {
    const int column_tile = column / kPlaneTileColumns;
    return rounded + (int64_t{column_tile} * plane_tiles + tile) * kPlaneTileCount +
           row * kPlaneTileColumns + column % kPlaneTileColumns;
  }
};

// A warp's scores in shared memory: those of 32 rows beside each other, so that the lanes of a walk
// read different banks at the same node; swapped by eights so that a fragment's lanes write to
// different banks.
DEVICE int ScorePlace(int plane, int row) { return plane * 32 + (row ^ (plane / 2 % 4 * 8)); }

// scores = x . plane + bias for `count` planes, in passes of 8 kTiles; rounded up to whole passes.
template <int kTiles>
DEVICE void ScoreTopLevels(float* scores, const RouteRows& x, const RoutePlanes& planes,
                           int count) {
  const int row = device::Lane() / 4, part = device::Lane() % 4;
  for (int first = 0; first < count; first += kTiles * kPlaneTileRows) {
    float c[2][kTiles][4] = {};
#pragma unroll 1
    for (int column = 8 * part; column < planes.column_tiles * kPlaneTileColumns;
         column += kPlaneTileColumns) {
      device::Vector16 a[4];
      const BFloat16* place = planes.Place(first / kPlaneTileRows, row, column);
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = x.Load(8 * i + row, column);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const auto b = device::Load<device::Vector16>(place + t * kPlaneTileCount);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          const uint32_t* low = a[2 * m].word;
          const uint32_t* high = a[2 * m + 1].word;
          device::MultiplyAdd(c[m][t], {low[0], high[0], low[1], high[1]}, b.word[0], b.word[1]);
          device::MultiplyAdd(c[m][t], {low[2], high[2], low[3], high[3]}, b.word[2], b.word[3]);
        }
      }
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int plane = first + t * kPlaneTileRows + 2 * part + i;
        const float bias = plane < planes.planes ? planes.bias[plane] : 0;
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          scores[ScorePlace(plane, 16 * m + row)] = c[m][t][i] + bias;
          scores[ScorePlace(plane, 16 * m + row + 8)] = c[m][t][2 + i] + bias;
        }
      }
    }
  }
}

// Scores of the lane's own row; collective below the top levels.  All lanes ask for planes of one
// level.
struct RowScore {
  const float* scores;
  int product_planes;
  const RouteRows& x;
  const RoutePlanes& planes;

  DEVICE float operator()(int plane) const {
    return plane < product_planes ? scores[ScorePlace(plane, device::Lane())] : Product(plane);
  }

 private:
  // Four rows at a time, eight lanes each.
  DEVICE float Product(int plane) const {
    const int lane = device::Lane();
    float result = 0;
    for (int first = 0; first < device::kWarpThreads; first += 4) {
      const int row = first + lane / 8;
      const int its_plane = device::Shuffle(plane, row);
      float sum = 0;
      for (int column = lane % 8 * 8; column < x.columns; column += 64) {
        float a[8], b[8];
        device::Unpack(a, x.Load(row, column));
        device::Unpack(b, device::Load<device::Vector16>(planes.Place(
                              its_plane / kPlaneTileRows, its_plane % kPlaneTileRows, column)));
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += a[i] * b[i];
      }
#pragma unroll
      for (int mask = 4; mask > 0; mask /= 2) sum += device::ShuffleXor(sum, mask);
      const float mine = device::Shuffle(sum, lane % 4 * 8);
      if (lane / 4 * 4 == first) result = mine;
    }
    return result + planes.bias[plane];
  }
};

// The alternative leaf.  All lanes go through all levels, as scores may be collective; those above
// the flipped decision do not move.
DEVICE int32_t AlternativeLeaf(const TreeWalk& walk, const TreeWalk::Descent<float>& descent,
                               const RowScore& score) {
  int32_t node = descent.flipped;
  for (int level = 1; level < walk.height(); ++level) {
    const bool moves = level > descent.level;
    const int32_t child = walk.Decide<float>(level, moves ? node : 0, score).child;
    if (moves) node = walk.Child(level, node, child);
  }
  return descent.level == walk.height() ? descent.path.leaf : node;
}

DEVICE void StorePath(const RouteOutputs& out, int64_t row, const Path<float>& path) {
  out.leaf[row] = path.leaf;
  if (out.strength != nullptr) out.strength[row] = path.strength;
  if (out.alternative == nullptr) return;
  out.alternative[row] = path.alternative;
  out.own_plane[row] = path.own_plane;
  out.other_plane[row] = path.other_plane;
  out.margin[row] = path.margin;
}

// Grid: blocks of rows of B n times heads, the heads of one block beside each other, as in memory.
template <int kTiles>
KERNEL(kRouteThreads, kTiles == 8 ? 3 : 4)
RouteKernel(RouteOutputs out, const BFloat16* x, const BFloat16* rounded, const float* bias,
            const int32_t* document, TreeWalk walk, RouteSizes sizes, FlipRule rule) {
  const int head = device::BlockX() % sizes.heads;
  const int first = device::BlockX() / sizes.heads * kRouteRows + device::Warp() * 32;
  if (first >= sizes.rows) return;  // the whole warp
  const RouteRows rows{x + (sizes.x_heads == 1 ? 0 : int64_t{head} * sizes.columns),
                       int64_t{sizes.x_heads} * sizes.columns,
                       first,
                       sizes.rows,
                       sizes.columns,
                       sizes.columns % 8 == 0};
  const RoutePlanes planes{rounded + head * sizes.rounded_count(),
                           bias + int64_t{head} * sizes.planes, sizes.planes, sizes.plane_tiles,
                           sizes.column_tiles};
  constexpr int kPass = kTiles * kPlaneTileRows;
  const int pass_planes = (sizes.product_planes + kPass - 1) / kPass * kPass;
  float* scores =
      reinterpret_cast<float*>(device::SharedMemory()) + device::Warp() * 32 * pass_planes;
  ScoreTopLevels<kTiles>(scores, rows, planes, sizes.product_planes);
  device::WarpBarrier();

  const int place = first + device::Lane();  // in B n
  const bool exists = place < sizes.rows;
  const int64_t b = place / sizes.n, i = place % sizes.n;
  const int64_t row = (b * sizes.heads + head) * sizes.n + i;
  const RowScore score{scores, sizes.product_planes, rows, planes};
  auto descent = walk.Descend<float>(score, FlipLevel(rule, walk.height(), row));
  if (out.alternative != nullptr) {
    descent.path.alternative = AlternativeLeaf(walk, descent, score);
  }
  if (!exists) return;
  if (document[place] < 0) {
    descent.path = Path<float>{};
    descent.path.leaf = descent.path.alternative = -1;
  }
  StorePath(out, row, descent.path);
}

}  // namespace treeformer::cuda
