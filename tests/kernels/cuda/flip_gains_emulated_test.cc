// The GPU kernels of FLIP's probes on the host, against the reference in double.

#include "kernels/tree/flip_gains_kernels.cuh"
#include "tests/kernels/cuda/tf_case.h"

namespace {

using namespace emulated_testing;
using namespace tree_testing;

struct Gains {
  std::vector<float> query, key;
  int64_t bank_conflicts = 0;
};

// What backward hands over, as float32: the kernels and the reference read the same.
struct Statistics {
  std::vector<float> lse, delta, key_effect;
};

Statistics StatisticsOf(TfCase& c) {
  const auto result = RunAttention<double>(c.ctx, c);
  return {Converted<float>(result.lse), Converted<float>(result.delta),
          Converted<float>(result.key_effect)};
}

template <int e>
Gains RunKernels(TfCase& c, const Statistics& x, const emulation::Options& options) {
  const BucketStore query_probe = c.Store(c.query_other, c.key_leaf);
  const BucketStore key_probe = c.Store(c.query_leaf, c.key_other);
  TfLauncher<e> queries(c, query_probe.buckets(), options), keys(c, key_probe.buckets(), options);
  Gains gains;
  for (auto* gain : {&gains.query, &gains.key}) gain->assign(c.lists().count(), NAN);
  queries.template Launch<2>(cuda::FlipQueryGainKernel<e>, gains.query.data(), c.d_o16.data(),
                             x.delta.data());
  keys.template Launch<2>(cuda::FlipKeyGainKernel<e>, gains.key.data(), c.d_o16.data(),
                          x.lse.data(), x.delta.data(), x.key_effect.data());
  gains.bank_conflicts = queries.bank_conflicts() + keys.bank_conflicts();
  return gains;
}
Gains RunFlip(TfCase& c, const Statistics& x, const emulation::Options& options) {
  switch (c.size.e) {
    case 32:
      return RunKernels<32>(c, x, options);
    case 64:
      return RunKernels<64>(c, x, options);
    case 96:
      return RunKernels<96>(c, x, options);
    default:
      return RunKernels<128>(c, x, options);
  }
}

// The reference's gains, and sums of the magnitudes of their terms: p' (|dP| + sqrt(e)) over the
// keys of a query's alternative leaf, p+ (|dP| + |D| + sqrt(e)) over the queries of a key's.
struct Expected {
  std::vector<double> query, key, query_terms, key_terms;
};

void AddMagnitudes(Expected& x, const TfCase& c, const Statistics& statistics, int64_t b, int64_t h,
                   int64_t i) {
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

Expected Reference(TfCase& c, const Statistics& statistics) {
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
  const BucketStore query_probe = c.Store(c.query_other, c.key_leaf);
  const BucketStore key_probe = c.Store(c.query_leaf, c.key_other);
  reference::FlipGains<double>(lists(x.query), lists(x.key), rows(c.d_o), rows(c.q), rows(c.k),
                               rows(c.v), lists(lse), lists(delta), lists(effect),
                               query_probe.buckets(), key_probe.buckets(), c.options.causal);
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
void ExpectRight(const TfCase& c, const Gains& gains, const Expected& x,
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

void ExpectAgreement(TfCase& c, const std::vector<emulation::Options>& all_options) {
  SCOPED_TRACE(testing::Message() << "n = " << c.size.n << ", e = " << c.size.e << ", leaves "
                                  << c.size.leaves << (c.options.causal ? ", causal" : ""));
  const Statistics statistics = StatisticsOf(c);
  const Expected expected = Reference(c, statistics);
  for (const emulation::Options& options : all_options) {
    const Gains gains = RunFlip(c, statistics, options);
    ExpectRight(c, gains, expected, statistics);
    EXPECT_EQ(gains.bank_conflicts, 0);
  }
}

TfCase CaseOf(const CaseSize& size, bool causal) {
  TfCase c(size);
  c.options.causal = causal;
  return c;
}

TEST(FlipGainKernels, AgreeWithTheReferenceAtEveryWidth) {
  for (const int64_t e : {32, 64, 96, 128}) {
    for (const bool causal : {false, true}) {
      TfCase c = CaseOf({1, 2, 131, e, 3, 2, true}, causal);
      ExpectAgreement(c, {AllOptions()[causal ? 0 : 3]});
    }
  }
}

// One row; one past a tile; one leaf, packed documents, many empty leaves; all orders of threads
// and both times of arrival.
TEST(FlipGainKernels, AgreeWithTheReferenceForAwkwardLengthsAndLeaves) {
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 64, 1}, CaseSize{1, 1, 65, 64, 1}, CaseSize{2, 1, 64, 32, 5, 3, true},
        CaseSize{1, 1, 150, 64, 300}, CaseSize{1, 1, 257, 32, 1, 1, true}}) {
    for (const bool causal : {false, true}) {
      TfCase c = CaseOf(size, causal);
      ExpectAgreement(c, AllOptions());
    }
  }
}

// All queries would move to one leaf and all keys to another, where the other side's rows all are,
// or none of them.
TEST(FlipGainKernels, TakeCollapsedTrees) {
  for (const int32_t own : {0, 5, 7}) {
    TfCase c({1, 1, 97, 64, 8});
    std::fill(c.query_other.begin(), c.query_other.end(), 7);
    std::fill(c.key_other.begin(), c.key_other.end(), 0);
    std::fill(c.query_leaf.begin(), c.query_leaf.end(), own);
    std::fill(c.key_leaf.begin(), c.key_leaf.end(), own);
    ExpectAgreement(c, {AllOptions()[1]});
  }
}

// Queries in leaf 0, keys in leaf 1: all queries have lse = -infinity.  A key that joined would
// get all of a query's weight, a query that moved finds no key.
TEST(FlipGainKernels, AgreeWhereQueriesHaveNoKeysAndAlternativesAreEmpty) {
  TfCase c({1, 1, 75, 32, 4});
  std::fill(c.query_leaf.begin(), c.query_leaf.end(), 0);
  std::fill(c.key_leaf.begin(), c.key_leaf.end(), 1);
  std::fill(c.query_other.begin(), c.query_other.end(), 2);
  std::fill(c.key_other.begin(), c.key_other.end(), 0);
  ExpectAgreement(c, {AllOptions()[2]});

  Statistics statistics = StatisticsOf(c);
  for (size_t row = 0; row < statistics.delta.size(); ++row) {
    EXPECT_EQ(statistics.lse[row], -std::numeric_limits<float>::infinity());
    statistics.delta[row] = row + 1.0f;
    statistics.key_effect[row] = row + 2.0f;
  }
  std::fill(c.key_other.begin(), c.key_other.end(), 3);
  const Gains gains = RunFlip(c, statistics, {});
  for (size_t row = 0; row < statistics.delta.size(); ++row) {
    EXPECT_EQ(gains.query[row], -statistics.delta[row]);
    EXPECT_EQ(gains.key[row], -statistics.key_effect[row]);
  }
}

// Scores of +-80 and more: exp(lse - s) overflows to infinity, p' is 1 at one key.
TEST(FlipGainKernels, TakeLargeScores) {
  TfCase c({1, 1, 70, 64, 2});
  for (auto [wide, narrow] : {std::pair{&c.q, &c.q16}, std::pair{&c.k, &c.k16}}) {
    for (double& value : *wide) value *= 16;
    *narrow = ToBFloat16(Converted<float>(*wide));
  }
  const Statistics statistics = StatisticsOf(c);
  const Expected expected = Reference(c, statistics);
  const Gains gains = RunFlip(c, statistics, {});
  // S is up to 256 sqrt(e) / 3, with an error of 4 epsilon 256.
  for (size_t row = 0; row < gains.query.size(); ++row) {
    const double unit = 2 * 256 * 4 * kEpsilon;
    EXPECT_NEAR(gains.query[row], expected.query[row], unit * expected.query_terms[row]);
    EXPECT_NEAR(gains.key[row], expected.key[row], unit * (1 + expected.key_terms[row]));
  }
}

TEST(FlipGainKernels, HaveTheSameBitsForEveryOrderOfThreads) {
  TfCase c = CaseOf({1, 1, 200, 64, 3, 2, true}, /*causal=*/true);
  const Statistics statistics = StatisticsOf(c);
  const Gains first = RunFlip(c, statistics, AllOptions()[0]);
  for (const emulation::Options& options : AllOptions()) {
    const Gains gains = RunFlip(c, statistics, options);
    EXPECT_EQ(gains.query, first.query);
    EXPECT_EQ(gains.key, first.key);
  }
}

}  // namespace
