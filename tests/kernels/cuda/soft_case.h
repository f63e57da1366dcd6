#pragma once

// What the tests of the dense gradient's kernels share: its operands in bfloat16, and the reference
// with the errors that are allowed.

#include "kernels/tree/dense/soft_tree.h"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/soft_testing.h"

namespace treeformer::soft_case {

using namespace emulated_testing;
using dense_testing::ExpectNear;
using dense_testing::kRounding;
using testing_util::Random;
using tree_testing::Eighths;
using tree_testing::On;
using tree_testing::SoftCase;
using tree_testing::TreeCase;

// One row; one past a tile of rows, of planes, of columns; more rows than a part sums.
inline std::vector<SoftCase> Cases() {
  return {{{1, 1, 1, 1, TreeShape::Binary(1), 1, false}, 1, false},
          {{2, 13, 2, 3, TreeShape::Binary(3), 1, true}, 2, false},
          {{1, 65, 3, 63, TreeShape::Binary(2), 1, true}, 1, false},
          {{1, 33, 2, 64, TreeShape::Binary(5), 1, true}, 2, true},
          {{1, 17, 1, 8, TreeShape::Binary(7), 1, false}, 1, false},
          {{2, 515, 1, 5, TreeShape::Binary(2), 1, false}, 1, false}};
}

struct Soft {
  explicit Soft(const SoftCase& s)
      : c(s.tree),
        P(c.shape.planes()),
        effect_shape{c.B, c.H, s.same_effect ? 1 : c.n, c.shape.leaves()},
        x_shape{c.B, c.n, s.x_heads, c.e},
        leaf(c.Leaves(1)),
        x(ToBFloat16(Eighths<float>(x_shape.count(), 2))),
        dx(ToBFloat16(Random<float>(x_shape.count(), 3))),
        effect(Random<float>(effect_shape.count(), 4)),
        weight(Eighths<float>(c.H * P * c.e, 5)),
        bias(Eighths<float>(c.H * P, 6)),
        strength(Random<float>(c.rows(), 7)),
        dweight(Random<float>(c.H * P * c.e, 8)),
        dbias(Random<float>(c.H * P, 9)) {
    for (float& value : strength) value = std::abs(value);
  }

  TreeCase c;
  int64_t P;
  Shape effect_shape, x_shape;
  std::vector<int32_t> leaf;
  std::vector<BFloat16> x, dx;
  std::vector<float> effect, weight, bias, strength, dweight, dbias;
};

struct Expected {
  std::vector<double> dweight, dbias, dx;

  explicit Expected(const Soft& soft)
      : dweight(soft.dweight.begin(), soft.dweight.end()),
        dbias(soft.dbias.begin(), soft.dbias.end()),
        dx(ToDouble(soft.dx)) {
    const TreeCase& c = soft.c;
    const Shape weights{c.H, soft.P, c.e}, planes{c.H, soft.P};
    const auto wide = dense_testing::Wide;
    const std::vector<double> effect = wide(soft.effect), x = ToDouble(soft.x);
    const std::vector<double> weight = wide(soft.weight), bias = wide(soft.bias);
    const std::vector<double> strength = wide(soft.strength);
    reference::SoftTreeBackward<double>(
        testing_util::HostContext(),
        {On(dweight, weights), On(dbias, planes), On(dx, soft.x_shape)},
        On(effect, soft.effect_shape),
        {On(x, soft.x_shape), On(weight, weights), On(bias, planes), c.shape},
        On(strength, c.row_shape()), On(soft.leaf, c.row_shape()));
  }
};

// |df| <= 2 s (1 + 1) max |effect| <= 4; pi and G carry about 3 roundings a level and 8 of the
// sigmoid.  A sum of `terms` of them and of |x|, |weight| <= 1: each term's own error, and a
// rounding of a partial sum at each of the additions.
inline double SumError(const Soft& soft, int64_t terms) {
  const double df = 4, roundings = 3 * soft.c.shape.height() + 8;
  return terms * df * (roundings + terms) * kRounding + kRounding;
}

inline void ExpectResults(const Soft& soft, const Expected& expected) {
  const int64_t rows = soft.c.B * soft.c.n;
  const double row_error = SumError(soft, soft.P * soft.c.H / soft.x_shape[2]);
  ExpectNear(soft.dweight, expected.dweight, SumError(soft, rows), "dweight");
  ExpectNear(soft.dbias, expected.dbias, SumError(soft, rows), "dbias");
  ExpectNear(
      ToFloat(soft.dx), expected.dx,
      [&](int64_t i) { return row_error + kBFloat16Rounding * std::abs(expected.dx[i]); }, "dx");
}

}  // namespace treeformer::soft_case
