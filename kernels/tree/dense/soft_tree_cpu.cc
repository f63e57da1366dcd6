#include <algorithm>
#include <vector>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/tree/dense/soft_tree.h"
#include "kernels/tree/dense/soft_tree_tile.h"
#include "kernels/tree/tf/binary_heap.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kRows = kSoftRows;
constexpr int64_t kPlanes = 64;  // of dweight that one thread sums

struct Sizes {
  int64_t B, n, x_heads, E, H, P, L, effect_rows;

  int64_t tiles() const { return (n + kRows - 1) / kRows; }
  int64_t x_stride() const { return x_heads * E; }
  int64_t x_row(int64_t b, int64_t i, int64_t h) const {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
  }
  // df is kept as [B, H, tiles, P, kRows]
  int64_t df_tile(int64_t b, int64_t h, int64_t tile) const {
    return ((b * H + h) * tiles() + tile) * P * kRows;
  }
};

// What one thread needs for a tile.
struct TileMemory {
  explicit TileMemory(const Sizes& sizes)
      : strength(kRows),
        leaf(kRows),
        effect(sizes.L * kRows),
        nodes(2 * (sizes.P + sizes.L) * kRows) {}
  std::vector<float> strength;
  std::vector<int32_t> leaf;
  std::vector<float> effect, nodes;
};

// Effect by leaf and row; rows that pass no gradient, and those past the end, get strength 0.
void FillTile(TileMemory& memory, const Sizes& sizes, View<const float> effect,
              View<const float> strength, Ids leaf, int64_t tree, int64_t begin) {
  const int64_t L = sizes.L;
  for (int64_t r = 0; r < kRows; ++r) {
    const int64_t row = tree * sizes.n + begin + r;
    const bool passes = begin + r < sizes.n && PassesGradient(leaf[row], strength[row]);
    memory.strength[r] = passes ? strength[row] : 0;
    memory.leaf[r] = passes ? leaf[row] : 0;
    const float* from = effect.data() + (sizes.effect_rows == 1 ? tree : row) * L;
    for (int64_t m = 0; m < L; ++m) memory.effect[m * kRows + r] = passes ? from[m] : 0;
  }
}

void PlaneGradients(View<float> df, View<const float> effect, View<const float> x,
                    View<const float> weight, View<const float> bias, View<const float> strength,
                    Ids leaf, const Sizes& sizes) {
  const int64_t E = sizes.E, P = sizes.P;
#pragma omp parallel
  {
    TileMemory memory(sizes);
#pragma omp for collapse(3) schedule(static)
    for (int64_t b = 0; b < sizes.B; ++b) {
      for (int64_t h = 0; h < sizes.H; ++h) {
        for (int64_t tile = 0; tile < sizes.tiles(); ++tile) {
          const int64_t begin = tile * kRows, rows = std::min(kRows, sizes.n - begin);
          float* f = df.data() + sizes.df_tile(b, h, tile);
          if (rows < kRows) std::fill_n(f, P * kRows, 0.0f);
          GemmNT(P, rows, E, /*alpha=*/1, {weight.data() + h * P * E, E},
                 {x.data() + sizes.x_row(b, begin, h), sizes.x_stride()}, f, kRows);
          FillTile(memory, sizes, effect, strength, leaf, b * sizes.H + h, begin);
          SoftTileBackward({f, bias.data() + h * P, memory.effect.data(), memory.strength.data(),
                            memory.leaf.data(), sizes.L},
                           memory.nodes.data());
        }
      }
    }
  }
}

// visit(begin, end) for the runs of rows of a tile that pass a gradient, from 0 in the tile.
template <typename Visit>
void ForEachRun(Ids leaf, View<const float> strength, const Sizes& sizes, int64_t tree,
                int64_t tile, const Visit& visit) {
  const int64_t first = tree * sizes.n + tile * kRows;
  const int64_t rows = std::min(kRows, sizes.n - tile * kRows);
  const auto passes = [&](int64_t r) {
    return PassesGradient(leaf[first + r], strength[first + r]);
  };
  for (int64_t begin = 0, end; begin < rows; begin = end) {
    for (end = begin + 1; end < rows && passes(end) == passes(begin);) ++end;
    if (passes(begin)) visit(begin, end);
  }
}

// Every element belongs to one thread, which adds the rows in ascending order.  Only rows that pass
// a gradient are read: the x of the others may be NaN.
void AddWeightGradients(View<float> dweight, View<float> dbias, View<const float> df,
                        View<const float> x, View<const float> strength, Ids leaf,
                        const Sizes& sizes) {
  const int64_t E = sizes.E, P = sizes.P, slices = (P + kPlanes - 1) / kPlanes;
  const std::vector<float> ones(kRows, 1);
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t h = 0; h < sizes.H; ++h) {
    for (int64_t slice = 0; slice < slices; ++slice) {
      const int64_t first = slice * kPlanes, planes = std::min(kPlanes, P - first);
      for (int64_t b = 0; b < sizes.B; ++b) {
        for (int64_t tile = 0; tile < sizes.tiles(); ++tile) {
          const float* df_tile = df.data() + sizes.df_tile(b, h, tile) + first * kRows;
          ForEachRun(leaf, strength, sizes, b * sizes.H + h, tile, [&](int64_t begin, int64_t end) {
            GemmNN(planes, E, end - begin, /*alpha=*/1, {df_tile + begin, kRows},
                   {x.data() + sizes.x_row(b, tile * kRows + begin, h), sizes.x_stride()},
                   /*beta=*/1, dweight.data() + (h * P + first) * E, E);
          });
          for (int64_t t = 0; t < planes; ++t) {
            dbias[h * P + first + t] += Dot(df_tile + t * kRows, ones.data(), kRows);
          }
        }
      }
    }
  }
}

// Heads that read the same row add to it in turn.
void AddRowGradients(View<float> dx, View<const float> df, View<const float> weight,
                     const Sizes& sizes) {
  const int64_t E = sizes.E, P = sizes.P;
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t b = 0; b < sizes.B; ++b) {
    for (int64_t tile = 0; tile < sizes.tiles(); ++tile) {
      const int64_t begin = tile * kRows, rows = std::min(kRows, sizes.n - begin);
      for (int64_t h = 0; h < sizes.H; ++h) {
        GemmTN(rows, E, P, /*alpha=*/1, {df.data() + sizes.df_tile(b, h, tile), kRows},
               {weight.data() + h * P * E, E}, /*beta=*/1, dx.data() + sizes.x_row(b, begin, h),
               sizes.x_stride());
      }
    }
  }
}

}  // namespace
}  // namespace cpu

void cpu::SoftTreeBackward(Context& ctx, const RouterGradients& gradients, In effect,
                           const RouterOperands& router, In strength, Ids leaf) {
  const View<const float> x = router.x, weight = router.weight;
  const TreeShape& shape = router.shape;
  const Sizes sizes{x.shape()[0],      x.shape()[1],   x.shape()[2],   x.shape()[3],
                    weight.shape()[0], shape.planes(), shape.leaves(), effect.shape()[2]};
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> df = scope.Take<float>({sizes.B, sizes.H, sizes.tiles(), sizes.P * kRows});
  PlaneGradients(df, effect, x, weight, router.bias, strength, leaf, sizes);
  AddWeightGradients(gradients.dweight, gradients.dbias, df, x, strength, leaf, sizes);
  AddRowGradients(gradients.dx, df, weight, sizes);
}

void cpu::BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight) {
  reference::BalanceEffect<float>(ctx, effect, leaf, weight);  // one pass over the ids
}

}  // namespace treeformer
