#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/tree/binary_heap.h"
#include "kernels/tree/soft_tree.h"
#include "kernels/tree/tile_gemm.h"

namespace cpu {
namespace {

constexpr int64_t kRows = 64;    // of x in one product
constexpr int64_t kPlanes = 64;  // of dweight that one thread sums

struct Sizes {
  int64_t B, n, x_heads, E, H, P, L, effect_rows;
  int64_t blocks() const { return (n + kRows - 1) / kRows; }
  int64_t x_stride() const { return x_heads * E; }
  int64_t x_row(int64_t b, int64_t i, int64_t h) const {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
  }
};

// What one thread needs for one row.
struct RowMemory {
  explicit RowMemory(const Sizes& sizes)
      : right(sizes.P), pi(sizes.P + sizes.L), G(sizes.P + sizes.L) {}
  std::vector<char> right;
  std::vector<float> pi, G;
};

// f [P]: the scores without bias; becomes df.
void ScoresToGradient(float* f, const float* bias, const float* effect, float s, int32_t leaf,
                      const Sizes& sizes, RowMemory& memory) {
  const int64_t P = sizes.P, L = sizes.L;
  char* right = memory.right.data();
  float *pi = memory.pi.data(), *G = memory.G.data();
  for (int64_t t = 0; t < P; ++t) {
    f[t] += bias[t];
    right[t] = f[t] > 0;
  }
  SetPath(right, leaf, L);
  const float decay = std::exp(-2 * s);  // s >= 0
  const float along = 1 / (1 + decay), against = decay / (1 + decay);
  pi[0] = 1;
  for (int64_t t = 0; t < P; ++t) {
    pi[LeftChild(t)] = pi[t] * (right[t] ? against : along);
    pi[RightChild(t)] = pi[t] * (right[t] ? along : against);
  }
  for (int64_t m = 0; m < L; ++m) G[P + m] = pi[P + m] * effect[m];
  for (int64_t t = P - 1; t >= 0; --t) G[t] = G[LeftChild(t)] + G[RightChild(t)];
  for (int64_t t = 0; t < P; ++t) {
    const float da =
        s * ((G[RightChild(t)] - G[LeftChild(t)]) - G[0] * (pi[RightChild(t)] - pi[LeftChild(t)]));
    f[t] = std::abs(f[t]) <= 1 ? 2 * da : 0;
  }
}

// df [B, H, n, P]; 0 for rows that pass no gradient.
void PlaneGradients(View<float> df, View<const float> effect, View<const float> x,
                    View<const float> weight, View<const float> bias, View<const float> strength,
                    Ids leaf, const Sizes& sizes) {
  const auto [B, n, x_heads, E, H, P, L, effect_rows] = sizes;
#pragma omp parallel
  {
    RowMemory memory(sizes);
#pragma omp for collapse(3) schedule(static)
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        for (int64_t block = 0; block < sizes.blocks(); ++block) {
          const int64_t begin = block * kRows, end = std::min(n, begin + kRows);
          const int64_t tree = b * H + h;
          GemmNT(end - begin, P, E, /*alpha=*/1,
                 {x.data() + sizes.x_row(b, begin, h), sizes.x_stride()},
                 {weight.data() + h * P * E, E}, df.data() + (tree * n + begin) * P, P);
          for (int64_t row = tree * n + begin; row < tree * n + end; ++row) {
            float* f = df.data() + row * P;
            if (!PassesGradient(leaf[row], strength[row])) {
              std::fill(f, f + P, 0.0f);
              continue;
            }
            ScoresToGradient(f, bias.data() + h * P,
                             effect.data() + (effect_rows == 1 ? tree : row) * L, strength[row],
                             leaf[row], sizes, memory);
          }
        }
      }
    }
  }
}

// Every element belongs to one thread, which adds the rows in ascending order.  Only runs of rows
// that pass a gradient are read: the x of the others may be NaN.
void AddWeightGradients(View<float> dweight, View<float> dbias, View<const float> df,
                        View<const float> x, View<const float> strength, Ids leaf,
                        const Sizes& sizes) {
  const auto [B, n, x_heads, E, H, P, L, effect_rows] = sizes;
  const int64_t slices = (P + kPlanes - 1) / kPlanes;
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t h = 0; h < H; ++h) {
    for (int64_t slice = 0; slice < slices; ++slice) {
      const int64_t first = slice * kPlanes, planes = std::min(kPlanes, P - first);
      for (int64_t b = 0; b < B; ++b) {
        const int64_t tree = b * H + h;
        const auto passes = [&](int64_t i) {
          return PassesGradient(leaf[tree * n + i], strength[tree * n + i]);
        };
        for (int64_t begin = 0, end; begin < n; begin = end) {
          for (end = begin + 1; end < n && passes(end) == passes(begin);) ++end;
          if (!passes(begin)) continue;
          const float* rows = df.data() + (tree * n + begin) * P + first;
          GemmTN(planes, E, end - begin, /*alpha=*/1, {rows, P},
                 {x.data() + sizes.x_row(b, begin, h), sizes.x_stride()}, /*beta=*/1,
                 dweight.data() + (h * P + first) * E, E);
          for (int64_t i = begin; i < end; ++i, rows += P) {
            AddTo(dbias.data() + h * P + first, rows, /*factor=*/1, planes);
          }
        }
      }
    }
  }
}

}  // namespace

void SoftTreeBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx_any, In effect, In x_any,
                      In weight_any, In bias, In strength, Ids leaf, const TreeShape& shape) {
  const View<const float> x = x_any, weight = weight_any;
  const View<float> dx = dx_any;
  const Sizes sizes{x.shape()[0],      x.shape()[1],   x.shape()[2],   x.shape()[3],
                    weight.shape()[0], shape.planes(), shape.leaves(), effect.shape()[2]};
  const auto [B, n, x_heads, E, H, P, L, effect_rows] = sizes;
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> df = scope.Take<float>({B, H, n, P});
  PlaneGradients(df, effect, x, weight, bias, strength, leaf, sizes);
  AddWeightGradients(dweight, dbias, df, x, strength, leaf, sizes);

  // Heads that read the same row add to it in turn.
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t block = 0; block < sizes.blocks(); ++block) {
      const int64_t begin = block * kRows, rows = std::min(kRows, n - begin);
      for (int64_t h = 0; h < H; ++h) {
        GemmNN(rows, E, P, /*alpha=*/1, {df.data() + ((b * H + h) * n + begin) * P, P},
               {weight.data() + h * P * E, E}, /*beta=*/1, dx.data() + sizes.x_row(b, begin, h),
               sizes.x_stride());
      }
    }
  }
}

}  // namespace cpu
