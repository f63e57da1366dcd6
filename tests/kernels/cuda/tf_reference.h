#pragma once

// What the tests of TF attention's kernels share: its results, those of the reference in double,
// and the errors that are allowed.

#include "kernels/tree/tf/tf_attention.h"
#include "tests/kernels/cuda/tf_case.h"

namespace treeformer::tf_reference {

using namespace emulated_testing;
using tree_testing::BucketStore;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

inline Dropout SomeDropout() {
  return {0.3f, {/*seed=*/7, /*step=*/3, /*site=*/2}, /*offset=*/12345};
}

struct Result {
  std::vector<BFloat16> o, dq, dk, dv;
  std::vector<float> lse, delta, key_effect;
  int64_t bank_conflicts = 0;  // of an emulation
};

// The reference's results, and sums of the magnitudes of the terms, which bound the errors.
struct Expected {
  std::vector<double> o, lse, dq, dk, dv, delta, key_effect;
  // sum over j of |p v|, |dS k| / sqrt(e); over i of |dS q| / sqrt(e), |p dO|: what rounding P and
  // dS to bfloat16 scales; and of p (|dP| + |D|), the terms of float32.
  std::vector<double> o_terms, dq_terms, dk_terms, dv_terms, query_terms, key_terms;
};

inline void AddMagnitudes(Expected& x, const TfCase& c, int64_t b, int64_t h, int64_t i,
                          int64_t j) {
  const int64_t row = c.Row(b, h, i), key = c.Row(b, h, j), e = c.size.e;
  if (!c.Sees(b, i, c.query_leaf[row], j, c.key_leaf[key])) return;
  const Dropout& dropout = c.options.dropout;
  const double kept = !dropout.enabled()                  ? 1
                      : dropout.Keeps(row * c.size.n + j) ? dropout.scale()
                                                          : 0;
  const double p = std::exp(c.Score(b, h, i, j) - x.lse[row]);
  const double dP = kept * c.Dot(c.d_o, c.v, b, h, i, j), width = std::sqrt(double(e));
  const double dS = std::abs(p * (dP - x.delta[row]));
  const int64_t at_i = c.Offset(b, h, i), at_j = c.Offset(b, h, j);
  for (int64_t d = 0; d < e; ++d) {
    x.o_terms[at_i + d] += kept * p * std::abs(c.v[at_j + d]);
    x.dv_terms[at_j + d] += kept * p * std::abs(c.d_o[at_i + d]);
    x.dq_terms[at_i + d] += dS * std::abs(c.k[at_j + d]) / width;
    x.dk_terms[at_j + d] += dS * std::abs(c.q[at_i + d]) / width;
  }
  const double terms = p * (std::abs(dP) + std::abs(x.delta[row]) + width);
  x.query_terms[row] += terms, x.key_terms[key] += terms;
}

// Backward from the kernels' own o and lse, as they are rounded.
inline Expected Reference(TfCase& c, const Result& kernels) {
  Expected x;
  const auto [B, H, n, e, leaves, documents, padding] = c.size;
  for (auto* rows : {&x.o, &x.dq, &x.dk, &x.dv, &x.o_terms, &x.dq_terms, &x.dk_terms, &x.dv_terms})
    rows->assign(B * n * H * e, 0);
  for (auto* lists : {&x.lse, &x.delta, &x.key_effect, &x.query_terms, &x.key_terms})
    lists->assign(B * H * n, 0);
  const auto rows = [&](std::vector<double>& values) {
    return View<double>(values.data(), c.rows());
  };
  const auto lists = [&](std::vector<double>& values) {
    return View<double>(values.data(), c.lists());
  };
  const BucketStore store = c.Store();
  const TfOperands operands{rows(c.q), rows(c.k), rows(c.v), store.buckets(), c.options};
  reference::TfForward<double>(testing_util::HostContext(), rows(x.o), lists(x.lse), operands);
  std::vector<double> o = ToDouble(kernels.o), lse = dense_testing::Wide(kernels.lse);
  reference::TfBackward<double>(
      testing_util::HostContext(),
      {rows(x.dq), rows(x.dk), rows(x.dv), lists(x.delta), lists(x.key_effect)}, rows(c.d_o),
      rows(o), lists(lse), operands);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) AddMagnitudes(x, c, b, h, i, j);
      }
    }
  }
  return x;
}

// Rounding P or dS to bfloat16 costs its unit of every term, rounding the result once more.  In
// float32: p carries the error of S, 4 epsilon (sqrt(e) terms of random sign, divided by sqrt(e)),
// exp's, lse's and the softmax's, 32 epsilon in all; dP and D carry 4 sqrt(e) epsilon.
inline void ExpectRight(const TfCase& c, const Result& r, const Expected& x) {
  const int64_t n = c.size.n, H = c.size.H, e = c.size.e;
  const double unit = 32 * kEpsilon, scale = c.options.dropout.scale();
  const auto list_row = [&](int64_t at) {  // of an element of [B, n, H, e]
    const int64_t token = at / (H * e), h = at / e % H;
    return (token / n * H + h) * n + token % n;
  };
  const auto rows = [&](const std::vector<BFloat16>& actual, const std::vector<double>& expected,
                        const std::vector<double>& terms, const std::function<double(int64_t)>& f,
                        const char* what) {
    const auto tolerance = [&](int64_t i) {
      return kBFloat16Rounding * (std::abs(expected[i]) + terms[i]) + f(i);
    };
    dense_testing::ExpectNear(ToFloat(actual), expected, tolerance, what);
  };
  rows(
      r.o, x.o, x.o_terms, [&](int64_t) { return unit * scale; }, "o");
  rows(
      r.dv, x.dv, x.dv_terms, [&](int64_t i) { return unit * (1 + 2 * x.dv_terms[i]); }, "dv");
  const auto at_query = [&](int64_t i) { return unit * x.query_terms[list_row(i)]; };
  const auto at_key = [&](int64_t i) { return unit * x.key_terms[list_row(i)]; };
  rows(r.dq, x.dq, x.dq_terms, at_query, "dq");
  rows(r.dk, x.dk, x.dk_terms, at_key, "dk");

  std::vector<double> lse = x.lse;
  std::vector<float> lse_actual = r.lse;
  for (size_t i = 0; i < lse.size(); ++i) {
    if (lse[i] != -kInfinity) continue;
    EXPECT_EQ(lse_actual[i], -std::numeric_limits<float>::infinity()) << "lse of row " << i;
    lse[i] = lse_actual[i] = 0;
  }
  dense_testing::ExpectNear(lse_actual, lse, 4 * unit, "lse");  // lse is up to log n
  dense_testing::ExpectNear(r.delta, x.delta, unit * scale * std::sqrt(double(e)), "delta");
  const auto effect = [&](int64_t i) { return unit * x.key_terms[i]; };
  dense_testing::ExpectNear(r.key_effect, x.key_effect, effect, "key_effect");
}

}  // namespace treeformer::tf_reference
