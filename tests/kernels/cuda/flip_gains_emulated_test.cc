// The GPU kernels of FLIP's probes on the host, against the reference in double.

#include "kernels/tree/tf/flip_gains_kernels.cuh"
#include "tests/kernels/cuda/flip_gains_case.h"
#include "tests/kernels/cuda/tf_launcher.h"

namespace treeformer {

namespace {

using namespace emulated_testing;
using namespace tree_testing;

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

}  // namespace treeformer
