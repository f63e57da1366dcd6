#include <omp.h>

#include <algorithm>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/tree/route/flip.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kLanes = 16;  // slices are multiples of it: the same sums in any slicing

// Elements of a plane that one thread sums: all of it, unless that left threads idle.
int64_t SliceSize(int64_t E, int64_t H, int64_t threads) {
  const int64_t slices = (threads + H - 1) / H;
  return (E + slices * kLanes - 1) / (slices * kLanes) * kLanes;
}

}  // namespace
}  // namespace cpu

void cpu::FlipBackward(Context&, const RouterGradients& gradients, In gain_any,
                       const RouterOperands& router, const FlipDecisions& decisions, float tau) {
  const View<float> dweight = gradients.dweight, dbias = gradients.dbias, dx = gradients.dx;
  const View<const float> gain = gain_any, x = router.x, weight = router.weight;
  const bool binary = router.shape.binary;
  const View<const float> margin = decisions.margin;
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = weight.shape()[0], P = weight.shape()[1];
  const int64_t slice_size = SliceSize(E, H, omp_get_max_threads());
  const int64_t slices = (E + slice_size - 1) / slice_size;
  const auto x_row = [&](int64_t b, int64_t i, int64_t h) {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
  };
  // visit(plane, slope) for the one or two planes of a row's decision
  const auto planes_of = [&](int64_t row, const auto& visit) {
    const int32_t own = decisions.own_plane[row];
    if (own < 0) return;
    const float slope = OwnSlope(margin[row], gain[row], binary, tau);
    visit(own, slope);
    if (!binary) visit(decisions.other_plane[row], -slope);
  };

  // Every element of dweight belongs to one thread, which adds the rows in ascending order.
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t h = 0; h < H; ++h) {
    for (int64_t slice = 0; slice < slices; ++slice) {
      const int64_t begin = slice * slice_size, count = std::min(slice_size, E - begin);
      for (int64_t b = 0; b < B; ++b) {
        for (int64_t i = 0; i < n; ++i) {
          planes_of((b * H + h) * n + i, [&](int64_t plane, float slope) {
            AddTo(dweight.data() + (h * P + plane) * E + begin, x.data() + x_row(b, i, h) + begin,
                  slope, count);
            if (slice == 0) dbias[h * P + plane] += slope;
          });
        }
      }
    }
  }

#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t h = 0; h < H; ++h) {
        planes_of((b * H + h) * n + i, [&](int64_t plane, float slope) {
          AddTo(dx.data() + x_row(b, i, h), weight.data() + (h * P + plane) * E, slope, E);
        });
      }
    }
  }
}

}  // namespace treeformer
