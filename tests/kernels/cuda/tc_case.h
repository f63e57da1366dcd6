#pragma once

// What the tests of TC-Attention's kernels share: its operands in bfloat16, the reference's
// outputs, and the sums of the magnitudes that the tolerances need.

#include "kernels/tree/tc/tc_attention.h"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/soft_testing.h"

namespace treeformer::tc_case {

using namespace emulated_testing;
using dense_testing::ExpectNear;
using dense_testing::kRounding;
using testing_util::Random;
using tree_testing::On;
using tree_testing::TreeCase;

struct Tc {
  explicit Tc(const TreeCase& tree)
      : c(tree),
        document(c.Document()),
        query_leaf(c.Leaves(1)),
        key_leaf(c.Leaves(2)),
        v(ToBFloat16(Random<float>(c.elements(), 3))),
        d_o(ToBFloat16(Random<float>(c.elements(), 4))),
        alpha(Random<float>(c.H * c.levels(), 5)),
        dalpha(Random<float>(c.H * c.levels(), 6)) {}

  TreeCase c;
  std::vector<int32_t> document, query_leaf, key_leaf;
  std::vector<BFloat16> v, d_o, o, dv;
  std::vector<float> alpha, dalpha, dalpha_out, query_effect, key_effect;
};

struct Expected {
  std::vector<double> o, dv, dalpha, query_effect, key_effect;

  // The reference on v, d_o, alpha or, for tolerances, on their magnitudes.
  Expected(const Tc& tc, bool magnitudes)
      : o(tc.c.elements()),
        dv(tc.c.elements()),
        dalpha(tc.dalpha.begin(), tc.dalpha.end()),
        query_effect(tc.c.effects()),
        key_effect(tc.c.effects()) {
    const TreeCase& c = tc.c;
    std::vector<double> v = ToDouble(tc.v), d_o = ToDouble(tc.d_o);
    std::vector<double> alpha(tc.alpha.begin(), tc.alpha.end());
    for (std::vector<double>* x : {&v, &d_o, &alpha, &dalpha}) {
      for (double& value : *x) value = magnitudes ? std::abs(value) : value;
    }
    const View<const double> alpha_view = On(std::as_const(alpha), {c.H, c.levels()});
    const View<const double> v_view = On(std::as_const(v), c.x_shape());
    const Ids queries = On(tc.query_leaf, c.row_shape()), keys = On(tc.key_leaf, c.row_shape());
    const Ids documents = On(tc.document, {c.B, c.n});
    const TcOperands operands{v_view, alpha_view, queries, keys, documents, c.shape};
    reference::TcForward<double>(testing_util::HostContext(), On(o, c.x_shape()), operands);
    reference::TcBackward<double>(
        testing_util::HostContext(),
        {On(dv, c.x_shape()), On(dalpha, {c.H, c.levels()}), On(query_effect, c.effect_shape()),
         On(key_effect, c.effect_shape())},
        On(std::as_const(d_o), c.x_shape()), operands);
  }
};

// Everything is sums of products, of which every partial sum is below that of the magnitudes: so a
// result is within (roundings on the way) * 2^-24 of it.  On the way lie at most n additions of a
// leaf sum, h + 1 up and down the tree, e of a product, B L of dalpha and a dozen other operations.
inline double Relative(const TreeCase& c) {
  return (c.n + c.e + c.B * c.shape.leaves() + 2 * c.levels() + 12) * kRounding;
}
// Factors of effects are sums of two bfloat16.
constexpr double kTwoBFloat16Rounding = 0x1p-16;

// |effect of a key| is below <|v_j| + |nu|, |dnu|> / count: the reference on magnitudes subtracts
// there, so the sum is taken from the definition.
inline std::vector<double> KeyMagnitudes(const Tc& tc) {
  const TreeCase& c = tc.c;
  const std::vector<double> v = ToDouble(tc.v), d_o = ToDouble(tc.d_o);
  std::vector<double> magnitude(c.effects());
  for (int64_t row = 0; row < c.rows(); ++row) {
    const int64_t b = row / c.n / c.H, h = row / c.n % c.H, j = row % c.n;
    const int32_t doc = tc.document[b * c.n + j];
    for (int64_t k = 0; doc >= 0 && k < c.n; ++k) {  // the queries of its document
      if (tc.document[b * c.n + k] != doc) continue;
      const int64_t query = (b * c.H + h) * c.n + k;
      double product = 0;
      for (int64_t x = 0; x < c.e; ++x) {
        product += 2 * std::abs(d_o[((b * c.n + k) * c.H + h) * c.e + x]);  // |v|, |nu| <= 1
      }
      for (int level = 0; level < c.levels(); ++level) {
        const int64_t node = tree_testing::NodeAbove(c.shape, tc.query_leaf[query], level);
        const double a = std::abs(tc.alpha[h * c.levels() + level]);
        for (int64_t m = 0; m < c.shape.leaves(); ++m) {
          if (tree_testing::NodeAbove(c.shape, m, level) != node) continue;
          magnitude[row * c.shape.leaves() + m] += a * product;
        }
      }
    }
  }
  return magnitude;
}

inline void ExpectResults(const Tc& tc, const Expected& expected, const Expected& size,
                          const std::vector<double>& key_size) {
  const double relative = Relative(tc.c);
  const auto rounded = [&](const std::vector<double>& value, const std::vector<double>& size) {
    return [&, relative](int64_t i) {
      return kBFloat16Rounding * std::abs(value[i]) + 2 * relative * size[i] + kBFloat16Tiny;
    };
  };
  ExpectNear(ToFloat(tc.o), expected.o, rounded(expected.o, size.o), "o");
  ExpectNear(ToFloat(tc.dv), expected.dv, rounded(expected.dv, size.dv), "dv");
  const auto within = [](const std::vector<double>& size, double relative) {
    return [&size, relative](int64_t i) { return relative * size[i]; };
  };
  ExpectNear(tc.dalpha_out, expected.dalpha, within(size.dalpha, relative), "dalpha");
  ExpectNear(tc.query_effect, expected.query_effect,
             within(size.query_effect, relative + kTwoBFloat16Rounding), "query effect");
  ExpectNear(tc.key_effect, expected.key_effect, within(key_size, relative + kTwoBFloat16Rounding),
             "key effect");
}

}  // namespace treeformer::tc_case
