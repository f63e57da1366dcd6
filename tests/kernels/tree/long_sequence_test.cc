// The fast float32 attention at the lengths that `treeformer bench --suite=attention` times, 512 to
// 65,536 tokens: sampled rows against the definition in double.

#include <algorithm>

#include "tests/kernels/tree/attention_case.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
constexpr int64_t kWidth = 96, kSamples = 4;

// One head.  dO_i, O_i, and what comes of them, of query i sitting in `leaf`.
struct QueryRow {
  std::vector<int64_t> keys;
  std::vector<double> p, dp;
  double lse = 0, delta = 0;  // delta: sum_j p_j dP_j = <dO_i, O_i>
};

QueryRow ExactQuery(const AttentionCase& c, int64_t i, int32_t leaf) {
  QueryRow row;
  double sum = 0;
  for (int64_t j = 0; j < c.size.n; ++j) {
    if (!c.Sees(0, i, leaf, j, c.key_leaf[j])) continue;
    row.keys.push_back(j);
    row.p.push_back(std::exp(c.Score(0, 0, i, j)));
    row.dp.push_back(c.Dot(c.d_o, c.v, 0, 0, i, j));
    sum += row.p.back();
  }
  for (size_t m = 0; m < row.keys.size(); ++m) {
    row.p[m] /= sum;
    row.delta += row.p[m] * row.dp[m];
  }
  row.lse = std::log(sum);
  return row;
}

// sum_m weight(m) x_(row m)
template <typename Weight>
std::vector<double> WeightedSum(const std::vector<double>& x, const std::vector<int64_t>& rows,
                                const Weight& weight) {
  std::vector<double> sum(kWidth);
  for (size_t m = 0; m < rows.size(); ++m) {
    for (int64_t d = 0; d < kWidth; ++d) sum[d] += weight(m) * x[rows[m] * kWidth + d];
  }
  return sum;
}

void ExpectRow(const std::vector<float>& fast, int64_t row, const std::vector<double>& exact,
               double tolerance, const char* what) {
  for (int64_t d = 0; d < kWidth; ++d) {
    ASSERT_NEAR(fast[row * kWidth + d], exact[d], tolerance) << what << " of row " << row;
  }
}

// The tolerances are those of tf_attention_test.cc, derived there.
constexpr double kUnit = 32 * kEpsilon;

void ExpectExactQuery(const AttentionCase& c, const AttentionResult<float>& fast, int64_t i,
                      bool forward_only) {
  const QueryRow row = ExactQuery(c, i, c.query_leaf[i]);
  const auto p = [&](size_t m) { return row.p[m]; };
  ExpectRow(fast.o, i, WeightedSum(c.v, row.keys, p), kUnit, "o");
  if (row.keys.empty()) {
    EXPECT_EQ(fast.lse[i], row.lse) << "lse of row " << i;  // - infinity
  } else {
    EXPECT_NEAR(fast.lse[i], row.lse, 4 * kUnit) << "lse of row " << i;
  }
  if (forward_only) return;
  const double width = std::sqrt(kWidth);
  const auto ds = [&](size_t m) { return row.p[m] * (row.dp[m] - row.delta) / width; };
  EXPECT_NEAR(fast.delta[i], row.delta, kUnit * width) << "delta of row " << i;
  ExpectRow(fast.dq, i, WeightedSum(c.k, row.keys, ds), 2 * kUnit, "dq");
  const double gain = ExactQuery(c, i, c.query_other[i]).delta - row.delta;
  EXPECT_NEAR(fast.query_gain[i], gain, 2 * kUnit * width) << "gain of query " << i;
}

// dk, dv, effect and gain of key j, from all queries of its two leaves.
void ExpectExactKey(const AttentionCase& c, const AttentionResult<float>& fast, int64_t j) {
  std::vector<int64_t> queries;
  std::vector<double> p, ds;
  double effect = 0, joined = 0;
  for (int64_t i = 0; i < c.size.n; ++i) {
    const bool own = c.query_leaf[i] == c.key_leaf[j], other = c.query_leaf[i] == c.key_other[j];
    if (!own && !other) continue;
    const QueryRow row = ExactQuery(c, i, c.query_leaf[i]);
    const double weight = std::exp(c.Score(0, 0, i, j) - row.lse);
    const double change = c.Dot(c.d_o, c.v, 0, 0, i, j) - row.delta;
    if (other) joined += change / (1 + 1 / weight);
    if (!own) continue;
    queries.push_back(i);
    p.push_back(weight);
    ds.push_back(weight * change);
    effect += ds.back();
  }
  const double width = std::sqrt(kWidth), length = std::sqrt(1.0 + queries.size());
  const auto of = [](const std::vector<double>& x, double scale) {
    return [&x, scale](size_t m) { return scale * x[m]; };
  };
  ExpectRow(fast.dv, j, WeightedSum(c.d_o, queries, of(p, 1)), kUnit * length, "dv");
  ExpectRow(fast.dk, j, WeightedSum(c.q, queries, of(ds, 1 / width)), 2 * kUnit * length, "dk");
  EXPECT_NEAR(fast.key_effect[j], effect, 2 * kUnit * width * length) << "effect of key " << j;
  EXPECT_NEAR(fast.key_gain[j], joined - effect, 4 * kUnit * width * length) << "gain of key " << j;
}

// The exact gradients of a key cost the square of its leaf.
constexpr int64_t kLargestLeafForKeys = 1024;

void ExpectExactSamples(int64_t length, int leaves, bool forward_only = false) {
  SCOPED_TRACE(testing::Message() << "n = " << length << ", " << leaves << " leaves");
  const AttentionCase c({/*B=*/1, /*H=*/1, length, kWidth, leaves});
  Context ctx = Context::Cpu();
  const AttentionResult<float> fast = RunAttention<float>(ctx, c, forward_only);
  for (int64_t sample = 0; sample < kSamples; ++sample) {
    const int64_t row = sample * (length - 1) / (kSamples - 1);
    ExpectExactQuery(c, fast, row, forward_only);
    if (!forward_only && length / leaves <= kLargestLeafForKeys) ExpectExactKey(c, fast, row);
  }
}

TEST(LongSequences, TreesOf64LeavesAgreeWithTheDefinition) {
  for (int64_t length = 512; length <= 65536; length *= 2) ExpectExactSamples(length, 64);
}

TEST(LongSequences, TreesOf1000LeavesAgreeWithTheDefinition) {
  for (int64_t length = 512; length <= 65536; length *= 2) ExpectExactSamples(length, 1000);
}

TEST(LongSequences, FullAttentionAgreesWithTheDefinition) {
  for (int64_t length = 512; length <= 8192; length *= 2) ExpectExactSamples(length, 1);
  ExpectExactSamples(65536, 1, /*forward_only=*/true);
}

}  // namespace

}  // namespace treeformer
