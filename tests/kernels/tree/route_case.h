#pragma once

// Rows to route, as host vectors, and where they go on any back end in float32 or (on the CPU, the
// reference) float64.

#include "kernels/tree/route/route.h"
#include "tests/kernels/tree/tree_testing.h"

namespace treeformer::tree_testing {

using testing_util::Random;

// Small integers: every score is exact in float32, and ties are common.
struct RouteCase {
  TreeShape shape;
  int64_t B, n, H, x_heads, E;
  std::vector<float> x, weight, bias;
  std::vector<int32_t> document;
  FlipRule rule;

  RouteCase(const TreeShape& tree, int64_t batch, int64_t length, int64_t heads, int64_t row_heads,
            int64_t width)
      : shape(tree), B(batch), n(length), H(heads), x_heads(row_heads), E(width) {
    const auto integers = [](int64_t count, unsigned seed) {
      auto values = Random<float>(count, seed);
      for (float& value : values) value = std::round(3 * value);
      return values;
    };
    x = integers(B * n * x_heads * E, 1);
    weight = integers(H * shape.planes() * E, 2);
    bias = integers(H * shape.planes(), 3);
    document = Documents(B, n, /*documents=*/1, /*padding=*/true);
  }
  Shape x_shape() const { return {B, n, x_heads, E}; }
  Shape weight_shape() const { return {H, shape.planes(), E}; }
  Shape bias_shape() const { return {H, shape.planes()}; }
  Shape rows() const { return {B, H, n}; }
  int64_t XRow(int64_t b, int64_t h, int64_t i) const {
    return ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
  }
  double Score(int64_t b, int64_t h, int64_t i, int64_t plane) const {
    double sum = bias[h * shape.planes() + plane];
    for (int64_t c = 0; c < E; ++c) {
      sum += x[XRow(b, h, i) + c] * weight[(h * shape.planes() + plane) * E + c];
    }
    return sum;
  }
};

template <typename T>
struct RouteResult {
  std::vector<int32_t> leaf, alternative, own_plane, other_plane;
  std::vector<T> strength, margin;
};

template <typename T>
RouteResult<T> RouteRows(Context& ctx, const RouteCase& c) {
  const auto ids = [&] { return Buffer(ctx.device(), DType::kInt32, c.rows()); };
  const auto values = [&] { return Buffer(ctx.device(), DTypeOf<T>(), c.rows()); };
  const Buffer leaf = ids(), alternative = ids(), own = ids(), other = ids();
  const Buffer strength = values(), margin = values();
  Route(ctx, {leaf, strength, alternative, own, other, margin},
        {Upload(ctx, Converted<T>(c.x), c.x_shape()),
         Upload(ctx, Converted<T>(c.weight), c.weight_shape()),
         Upload(ctx, Converted<T>(c.bias), c.bias_shape()), c.shape},
        Upload(ctx, c.document, {c.B, c.n}).template as<int32_t>(), c.rule);
  return {Download<int32_t>(ctx, leaf), Download<int32_t>(ctx, alternative),
          Download<int32_t>(ctx, own),  Download<int32_t>(ctx, other),
          Download<T>(ctx, strength),   Download<T>(ctx, margin)};
}

}  // namespace treeformer::tree_testing
