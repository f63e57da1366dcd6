#pragma once

// What the tests of FLIP's gains share: the reference in double and the errors that it allows.

#include "tests/kernels/cuda/tf_case.h"

namespace treeformer::emulated_testing {

struct Gains {
  std::vector<float> query, key;
  int64_t bank_conflicts = 0;  // of an emulation
};

// What backward hands over, as float32: the kernels and the reference read the same.
struct Statistics {
  std::vector<float> lse, delta, key_effect;
};

inline Statistics StatisticsOf(TfCase& c) {
  const auto result = tree_testing::RunAttention<double>(c.ctx, c);
  return {tree_testing::Converted<float>(result.lse), tree_testing::Converted<float>(result.delta),
          tree_testing::Converted<float>(result.key_effect)};
}

// The reference's gains, and sums of the magnitudes of their terms: p' (|dP| + sqrt(e)) over the
// keys of a query's alternative leaf, p+ (|dP| + |D| + sqrt(e)) over the queries of a key's.
struct Expected {
  std::vector<double> query, key, query_terms, key_terms;
};

inline void AddMagnitudes(Expected& x, const TfCase& c, const Statistics& statistics, int64_t b,
                          int64_t h, int64_t i) {
  const int64_t n = c.size.n, row = c.Row(b, h, i);
  const double width = std::sqrt(double(c.size.e)), delta = statistics.delta[row];
  double total = 0, terms = 0;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t key = c.Row(b, h, j);
    const double exp_s = std::exp(c.Score(b, h, i, j));
    const double dP = std::abs(c.Dot(c.d_o, c.v, b, h, i, j));
    if (c.Sees(b, i, c.query_other[row], j, c.key_leaf[key])) {
      total += exp_s;
      terms += exp_s * (dP + width);
    }
    if (c.Sees(b, i, c.query_leaf[row], j, c.key_other[key])) {
      const double weight = exp_s / (std::exp(double(statistics.lse[row])) + exp_s);
      x.key_terms[key] += weight * (dP + std::abs(delta) + width);
    }
  }
  if (total > 0) x.query_terms[row] = terms / total;
}

inline Expected Reference(TfCase& c, const Statistics& statistics) {
  Expected x;
  for (auto* values : {&x.query, &x.key, &x.query_terms, &x.key_terms})
    values->assign(c.lists().count(), 0);
  const auto rows = [&](std::vector<double>& values) {
    return View<const double>(values.data(), c.rows());
  };
  const auto lists = [&](std::vector<double>& values) {
    return View<double>(values.data(), c.lists());
  };
  auto lse = dense_testing::Wide(statistics.lse), delta = dense_testing::Wide(statistics.delta),
       effect = dense_testing::Wide(statistics.key_effect);
  const tree_testing::BucketStore query_probe = c.Store(c.query_other, c.key_leaf);
  const tree_testing::BucketStore key_probe = c.Store(c.query_leaf, c.key_other);
  reference::FlipGains<double>(
      testing_util::HostContext(), lists(x.query), lists(x.key),
      {rows(c.d_o), rows(c.q), rows(c.k), rows(c.v), lists(lse), lists(delta), lists(effect),
       query_probe.buckets(), key_probe.buckets(), c.options.causal});
  for (int64_t b = 0; b < c.size.B; ++b) {
    for (int64_t h = 0; h < c.size.H; ++h) {
      for (int64_t i = 0; i < c.size.n; ++i) AddMagnitudes(x, c, statistics, b, h, i);
    }
  }
  return x;
}

// In float32: a weight carries the error of S, 4 epsilon (sqrt(e) terms of random sign, divided by
// sqrt(e)), lse's, exp's and the sums', 32 epsilon and one half for each of n / 4 columns that a
// lane adds up; dP carries 4 sqrt(e) epsilon.
inline void ExpectRight(const TfCase& c, const Gains& gains, const Expected& x,
                        const Statistics& statistics) {
  const double unit = (32 + c.size.n / 8.0) * kEpsilon;
  const auto at_query = [&](int64_t row) {
    return unit * x.query_terms[row] + kEpsilon * std::abs(statistics.delta[row]);
  };
  const auto at_key = [&](int64_t row) {
    return unit * x.key_terms[row] + kEpsilon * std::abs(statistics.key_effect[row]);
  };
  dense_testing::ExpectNear(gains.query, x.query, at_query, "query gain");
  dense_testing::ExpectNear(gains.key, x.key, at_key, "key gain");
}

}  // namespace treeformer::emulated_testing
