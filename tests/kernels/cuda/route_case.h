#pragma once

// Rows to route, for the tests of emulated kernels: what goes in, and the reference's result.

#include "kernels/tree/route.h"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/tree_testing.h"

namespace route_case {

using namespace dense_testing;
using namespace emulated_testing;

struct RouteCase {
  TreeShape shape;
  int64_t B, n, H, x_heads, E;
  std::vector<float> x, weight, bias;  // x and weight are bfloat16 numbers
  std::vector<int32_t> document;
  FlipRule rule;

  // scale > 0: integers within [-scale, scale], so that every score is exact and ties are common.
  RouteCase(const TreeShape& tree, int64_t batch, int64_t length, int64_t heads, int64_t row_heads,
            int64_t width, float scale = 3)
      : shape(tree), B(batch), n(length), H(heads), x_heads(row_heads), E(width) {
    const auto numbers = [scale](int64_t count, unsigned seed) {
      auto values = Random<float>(count, seed);
      for (float& value : values) value = scale > 0 ? std::round(scale * value) : value;
      return ToFloat(ToBFloat16(values));
    };
    x = numbers(B * n * x_heads * E, 1);
    weight = numbers(H * shape.planes() * E, 2);
    bias = numbers(H * shape.planes(), 3);
    document = tree_testing::Documents(B, n, /*documents=*/1, /*padding=*/true);
  }
  int64_t rows() const { return B * H * n; }
};

template <typename T>
struct RouteResult {
  std::vector<int32_t> leaf, alternative, own_plane, other_plane;
  std::vector<T> strength, margin;

  explicit RouteResult(int64_t rows)
      : leaf(rows, -7),
        alternative(rows, -7),
        own_plane(rows, -7),
        other_plane(rows, -7),
        strength(rows, -7),
        margin(rows, -7) {}
};

inline RouteResult<double> Expected(RouteCase& c) {
  RouteResult<double> result(c.rows());
  std::vector<double> x = Wide(c.x), weight = Wide(c.weight), bias = Wide(c.bias);
  const Shape rows{c.B, c.H, c.n};
  reference::Route<double>(
      {On(result.leaf, rows), On(result.strength, rows), On(result.alternative, rows),
       On(result.own_plane, rows), On(result.other_plane, rows), On(result.margin, rows)},
      On(x, {c.B, c.n, c.x_heads, c.E}), On(weight, {c.H, c.shape.planes(), c.E}),
      On(bias, {c.H, c.shape.planes()}), On(c.document, {c.B, c.n}), c.shape, c.rule);
  return result;
}

// Every kernel; one row, one past a warp, one past a block; columns past a tile and not a multiple
// of eight; one pass of products and two; levels below them; a top level too large for them.
inline std::vector<RouteCase> RouteCases() {
  std::vector<RouteCase> cases;
  cases.emplace_back(TreeShape::Binary(0), 1, 9, 2, 2, 4);
  cases.emplace_back(TreeShape::Binary(1), 2, 1, 1, 1, 1);
  cases.emplace_back(TreeShape::Binary(3), 2, 67, 3, 3, 5);
  cases.emplace_back(TreeShape::Binary(4), 1, 129, 2, 2, 40);
  cases.emplace_back(TreeShape::Binary(5), 1, 33, 2, 1, 100);
  cases.emplace_back(TreeShape::Binary(6), 2, 33, 1, 1, 64);
  cases.emplace_back(TreeShape::Binary(7), 1, 31, 2, 2, 96);
  cases.emplace_back(TreeShape::Binary(9), 1, 35, 2, 2, 72);
  cases.emplace_back(TreeShape::Kary({3}), 2, 40, 2, 2, 2);
  cases.emplace_back(TreeShape::Kary({4, 3, 2}), 1, 65, 2, 2, 33);
  cases.emplace_back(TreeShape::Kary({100, 10}), 1, 33, 2, 2, 16);
  cases.emplace_back(TreeShape::Kary({131, 2}), 1, 5, 1, 1, 24);
  return cases;
}

}  // namespace route_case
