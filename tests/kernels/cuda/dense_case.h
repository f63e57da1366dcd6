#pragma once

// What the tests of DENSE's kernels share: its operands in bfloat16, and the reference with the
// error that is allowed.

#include "kernels/tree/dense/dense_effects.h"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/soft_testing.h"

namespace treeformer::dense_case {

using namespace emulated_testing;
using dense_testing::ExpectNear;
using dense_testing::kRounding;
using testing_util::Random;
using tree_testing::On;
using tree_testing::TreeCase;

// One row; few rows over many leaves, so that some queries' leaves hold no key; one past a tile.
inline std::vector<TreeCase> Trees() {
  return {{1, 1, 1, 1, TreeShape::Binary(1), 1, false},
          {2, 13, 2, 3, TreeShape::Binary(3), 1, true},
          {1, 65, 2, 17, TreeShape::Kary({3, 7}), 3, true},
          {1, 131, 1, 64, TreeShape::Binary(2), 2, true}};
}

// lse and delta stand for those of in-leaf attention: any finite values, -infinity where the
// query's leaf holds none of the keys that it sees.
struct Dense {
  Dense(const TreeCase& c, const DenseOptions& options)
      : c(c),
        options(options),
        document(c.Document()),
        query_leaf(c.Leaves(1)),
        key_leaf(c.Leaves(2)),
        delta(Random<float>(c.rows(), 8)) {
    std::vector<float> wide_q = Random<float>(c.elements(), 3);
    for (float& value : wide_q) value *= 3;
    q = ToBFloat16(wide_q);
    k = ToBFloat16(Random<float>(c.elements(), 4));
    v = ToBFloat16(Random<float>(c.elements(), 5));
    d_o = ToBFloat16(Random<float>(c.elements(), 6));
    SetLse();
  }

  // After the leaves were changed, too.
  void SetLse() {
    lse = Random<float>(c.rows(), 7);
    for (int64_t row = 0; row < c.rows(); ++row) {
      bool empty = true;
      for (int64_t j = 0; j < c.n; ++j) {
        empty &= !Sees(row, j) || key_leaf[row / c.n * c.n + j] != query_leaf[row];
      }
      if (empty) lse[row] = -INFINITY;
    }
  }

  bool Sees(int64_t row, int64_t j) const {
    const int64_t b = row / c.n / c.H, i = row % c.n;
    return document[b * c.n + i] >= 0 && document[b * c.n + i] == document[b * c.n + j] &&
           (!options.causal || j <= i);
  }

  void Reference(std::vector<double>& query, std::vector<double>& key) const {
    const std::vector<double> q64 = ToDouble(q), k64 = ToDouble(k), v64 = ToDouble(v);
    const std::vector<double> d_o64 = ToDouble(d_o), lse64 = dense_testing::Wide(lse);
    const std::vector<double> delta64 = dense_testing::Wide(delta);
    reference::DenseLeafEffects<double>(
        testing_util::HostContext(), On(query, c.effect_shape()), On(key, c.effect_shape()),
        {On(d_o64, c.x_shape()), On(q64, c.x_shape()), On(k64, c.x_shape()), On(v64, c.x_shape()),
         On(lse64, c.row_shape()), On(delta64, c.row_shape()), On(query_leaf, c.row_shape()),
         On(key_leaf, c.row_shape()), On(document, {c.B, c.n}), options});
  }

  TreeCase c;
  DenseOptions options;
  std::vector<int32_t> document, query_leaf, key_leaf;
  std::vector<BFloat16> d_o, q, k, v;
  std::vector<float> lse, delta, query_effect, key_effect;
};

// X = w (dP - D), w at most the clamp or e^(largest S - smallest lse, -1).  As for the fast CPU
// path (tests/kernels/tree/dense_effects_test.cc): the exponent S - L carries the error of a
// product of e terms of size 3 / sqrt(e), of L and of the exponential (|S - L| + 4 ulp), which w
// turns into a relative one; errors of the up to n pairs of a sum are independent; |dP - D| stays
// near 2 sqrt(e / 9) + 1.
inline double Tolerance(const Dense& dense) {
  using testing_util::SumTolerance;
  const TreeCase& c = dense.c;
  const std::vector<double> q = ToDouble(dense.q), k = ToDouble(dense.k);
  const double scale = 1 / std::sqrt(static_cast<double>(c.e));
  double largest = 0;  // S
  for (int64_t row = 0; row < c.rows() * c.n; ++row) {
    const int64_t tree = row / c.n / c.n, i = row / c.n % c.n, j = row % c.n;
    const int64_t first = (tree / c.H * c.n * c.H + tree % c.H) * c.e;
    double score = 0;
    for (int64_t x = 0; x < c.e; ++x) {
      score += scale * q[first + i * c.H * c.e + x] * k[first + j * c.H * c.e + x];
    }
    largest = std::max(largest, score);
  }
  const bool clamped = dense.options.terms == DenseTerms::kClamped;
  const double w = clamped ? dense.options.clamp : std::exp(largest + 1);
  const float n = c.n, e = c.e, size = 2 * std::sqrt(e) / 3 + 1;
  const double exponent =
      SumTolerance(c.e, 3 / std::sqrt(e)) + 2 * kRounding * (2 * (largest + 1) + 8);
  const double pair = w * (exponent * size + SumTolerance(c.e, 1));
  return std::sqrt(n) * pair + SumTolerance(c.n, static_cast<float>(w) * size);
}

}  // namespace treeformer::dense_case
