#include <omp.h>

#include <algorithm>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/tree/route/flip.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kRows = 128;  // of x in one product

// The planes of the levels that are scored for every row, by one product; below them a row scores
// the nodes on its path only.  A score costs about an eighth in a product of what it costs alone.
int64_t ScoredPlanes(const TreeShape& shape) {
  constexpr int64_t kMaxNodes = 8;
  int level = 0;
  while (level < shape.height() && shape.Nodes(level) <= kMaxNodes) ++level;
  return shape.FirstPlane(level);
}

}  // namespace
}  // namespace cpu

void cpu::Route(Context& ctx, const Routing& routing, const RouterOperands& router, Ids document,
                const FlipRule& rule) {
  const View<const float> x = router.x, weight = router.weight, bias = router.bias;
  const TreeShape& shape = router.shape;
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = bias.shape()[0], P = bias.shape()[1], scored = ScoredPlanes(shape);
  const int64_t blocks = (B * n + kRows - 1) / kRows;
  const TreeWalk walk(shape);
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<float> scratch = scope.Take<float>({omp_get_max_threads(), kRows * scored});

#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t h = 0; h < H; ++h) {
    for (int64_t block = 0; block < blocks; ++block) {
      float* scores = scratch.data() + omp_get_thread_num() * kRows * scored;
      const int64_t begin = block * kRows, rows = std::min(kRows, B * n - begin);
      const int64_t ld = x_heads * E;
      const float* x_block = x.data() + begin * ld + (x_heads == 1 ? 0 : h * E);
      const float* w = weight.data() + h * P * E;
      if (scored > 0) {
        GemmNT(rows, scored, E, /*alpha=*/1, {x_block, ld}, {w, E}, scores, scored);
      }
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t b = (begin + r) / n, i = (begin + r) % n, row = (b * H + h) * n + i;
        if (document[begin + r] < 0) {
          StorePadding<float>(routing, row);
          continue;
        }
        const auto score = [&](int64_t plane) {
          const float product =
              plane < scored ? scores[r * scored + plane] : Dot(x_block + r * ld, w + plane * E, E);
          return product + bias[h * P + plane];
        };
        StorePath<float>(routing, row,
                         walk.Walk<float>(score, FlipLevel(rule, shape.height(), row),
                                          static_cast<bool>(routing.alternative)));
      }
    }
  }
}

}  // namespace treeformer
