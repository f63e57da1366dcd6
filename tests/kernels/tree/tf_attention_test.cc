#include "kernels/tree/tf/tf_attention.h"

#include <omp.h>

#include "kernels/tree/route/route.h"
#include "tests/kernels/dense_testing.h"
#include "tests/kernels/tree/attention_case.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kEpsilon = std::numeric_limits<float>::epsilon();
constexpr double kRoundingToBFloat16 = 0x1p-8;  // relative

Dropout SomeDropout() { return {0.3f, {/*seed=*/7, /*step=*/3, /*site=*/2}, /*offset=*/12345}; }

// Small problems that together have packed documents, padding, empty leaves (more leaves than
// rows), one row, causality, dropout, and windows: of a row alone, on leaves, wider than all rows.
std::vector<AttentionCase> SmallCases() {
  std::vector<AttentionCase> cases;
  for (const CaseSize& size : {CaseSize{2, 2, 9, 5, 3, 2, true}, CaseSize{1, 2, 8, 4, 20, 1, true},
                               CaseSize{1, 1, 6, 3, 1}, CaseSize{1, 1, 1, 1, 1}}) {
    for (const bool causal : {false, true}) {
      for (const bool dropout : {false, true}) {
        cases.emplace_back(size);
        cases.back().options.causal = causal;
        if (dropout) cases.back().options.dropout = SomeDropout();
      }
      for (const int64_t reach : {0, 1, 2, 20}) {
        cases.emplace_back(size);
        cases.back().options.causal = causal;
        cases.back().reach = reach;
      }
    }
  }
  return cases;
}

// O_i of query i sitting in `leaf`, by a masked softmax over all n keys.
std::vector<double> DirectOutput(const AttentionCase& c, int64_t b, int64_t h, int64_t i,
                                 int32_t leaf) {
  const auto [B, H, n, e, leaves, documents, padding] = c.size;
  std::vector<double> p(n, 0), o(e, 0);
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    if (!c.Sees(b, i, leaf, j, c.key_leaf[c.Row(b, h, j)])) continue;
    sum += p[j] = std::exp(c.Score(b, h, i, j));
  }
  for (int64_t j = 0; j < n; ++j) {
    if (p[j] == 0) continue;
    double kept = 1;
    if (c.options.dropout.enabled()) {
      kept = c.options.dropout.Keeps(c.Row(b, h, i) * n + j) ? 1 / (1 - 0.3f) : 0;
    }
    for (int64_t d = 0; d < e; ++d) o[d] += kept * p[j] / sum * c.v[c.Offset(b, h, j) + d];
  }
  return o;
}

template <typename Visit>
void ForEachRow(const AttentionCase& c, const Visit& visit) {
  for (int64_t b = 0; b < c.size.B; ++b) {
    for (int64_t h = 0; h < c.size.H; ++h) {
      for (int64_t i = 0; i < c.size.n; ++i) visit(b, h, i);
    }
  }
}

TEST(TfAttention, ReferenceForwardIsTheMaskedSoftmax) {
  Context ctx = Context::Cpu();
  for (const AttentionCase& c : SmallCases()) {
    const auto result = RunAttention<double>(ctx, c, /*forward_only=*/true);
    ForEachRow(c, [&](int64_t b, int64_t h, int64_t i) {
      const std::vector<double> o = DirectOutput(c, b, h, i, c.query_leaf[c.Row(b, h, i)]);
      for (int64_t d = 0; d < c.size.e; ++d) {
        EXPECT_NEAR(result.o[c.Offset(b, h, i) + d], o[d], 1e-14);
      }
    });
  }
}

TEST(TfAttention, ReferenceBackwardIsTheDerivativeOfForward) {
  Context ctx = Context::Cpu();
  for (AttentionCase& c : SmallCases()) {
    const auto result = RunAttention<double>(ctx, c);
    const auto loss = [&] {
      const auto o = RunAttention<double>(ctx, c, /*forward_only=*/true).o;
      double sum = 0;
      for (size_t i = 0; i < o.size(); ++i) sum += c.d_o[i] * o[i];
      return sum;
    };
    ExpectDerivative(loss, c.q, result.dq);
    ExpectDerivative(loss, c.k, result.dk);
    ExpectDerivative(loss, c.v, result.dv);
  }
}

TEST(FlipGains, OfAQueryIsTheChangeOfItsOutputWhenItIsMoved) {
  Context ctx = Context::Cpu();
  for (const AttentionCase& c : SmallCases()) {
    if (c.options.dropout.enabled()) continue;  // the gain is the expectation without it
    const auto result = RunAttention<double>(ctx, c);
    ForEachRow(c, [&](int64_t b, int64_t h, int64_t i) {
      const int64_t row = c.Row(b, h, i);
      const auto own = DirectOutput(c, b, h, i, c.query_leaf[row]);
      const auto moved = DirectOutput(c, b, h, i, c.query_other[row]);
      double change = 0;
      for (int64_t d = 0; d < c.size.e; ++d) {
        change += c.d_o[c.Offset(b, h, i) + d] * (moved[d] - own[d]);
      }
      EXPECT_NEAR(result.query_gain[row], change, 1e-13);
    });
  }
}

// G_j(a') - G_j(a) over explicit sets of queries, from the definition.
TEST(FlipGains, OfAKeyIsTheBoundedEffectOfJoiningMinusItsOwn) {
  Context ctx = Context::Cpu();
  for (const AttentionCase& c : SmallCases()) {
    const auto result = RunAttention<double>(ctx, c);
    ForEachRow(c, [&](int64_t b, int64_t h, int64_t j) {
      const int64_t key = c.Row(b, h, j);
      double own = 0, joined = 0;
      for (int64_t i = 0; i < c.size.n; ++i) {
        const int64_t row = c.Row(b, h, i);
        double Z = 0;
        for (int64_t m = 0; m < c.size.n; ++m) {
          if (c.Sees(b, i, c.query_leaf[row], m, c.key_leaf[c.Row(b, h, m)])) {
            Z += std::exp(c.Score(b, h, i, m));
          }
        }
        const double weight = std::exp(c.Score(b, h, i, j)), D = result.delta[row];
        const double dP = c.Dot(c.d_o, c.v, b, h, i, j);
        double kept = 1;
        if (c.options.dropout.enabled()) {
          kept = c.options.dropout.Keeps(row * c.size.n + j) ? 1 / (1 - 0.3f) : 0;
        }
        if (c.Sees(b, i, c.query_leaf[row], j, c.key_leaf[key]))
          own += weight / Z * (kept * dP - D);
        if (c.Sees(b, i, c.query_leaf[row], j, c.key_other[key])) {
          joined += weight / (Z + weight) * (dP - D);
        }
      }
      EXPECT_NEAR(result.key_effect[key], own, 1e-13);
      EXPECT_NEAR(result.key_gain[key], joined - own, 1e-13);
    });
  }
}

class TfAttentionOn : public Float32Test {};
INSTANTIATE_BACKENDS(TfAttentionOn);

void ExpectNear(const std::vector<float>& fast, const std::vector<double>& exact, double tolerance,
                const char* what) {
  double worst = 0;
  for (size_t i = 0; i < fast.size(); ++i) {
    if (exact[i] == -kInfinity) {
      EXPECT_EQ(fast[i], -std::numeric_limits<float>::infinity()) << what << " at " << i;
      continue;
    }
    const double error = std::abs(fast[i] - exact[i]);
    worst = std::isnan(error) ? kInfinity : std::max(worst, error);
  }
  EXPECT_LE(worst, tolerance) << what;
}

// With values up to 1: S carries SumTolerance(e) / sqrt(e) = 4 epsilon, so p carries 8 epsilon of
// itself and exp's own; dP and D carry 4 sqrt(e) epsilon and are at most about sqrt(e).  Sums over
// the keys of one query have weights that sum to 1 (or 1 / (1 - rate)); sums over queries do not.
TEST_P(TfAttentionOn, AgreesWithTheReference) {
  Context cpu = Context::Cpu();
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 8, 1}, CaseSize{1, 2, 33, 32, 1}, CaseSize{2, 3, 129, 33, 4, 3, true},
        CaseSize{1, 2, 300, 64, 2, 1, true}, CaseSize{1, 1, 257, 96, 1},
        CaseSize{1, 2, 521, 7, 3, 2, true}, CaseSize{1, 1, 600, 128, 1, 1, true},
        CaseSize{2, 1, 65, 1, 500}}) {
    SCOPED_TRACE(testing::Message() << "n = " << size.n << ", e = " << size.e);
    AttentionCase c(size);
    for (const auto& [causal, reach] : {std::pair{false, -1},
                                        {true, -1},
                                        {false, 0},
                                        {true, 1},
                                        {false, 17},
                                        {true, 130},
                                        {false, 230}}) {
      c.options.causal = causal;
      c.options.dropout = causal ? SomeDropout() : Dropout{};
      c.reach = reach;
      const auto fast = RunAttention<float>(ctx_, c);
      const auto exact = RunAttention<double>(cpu, c);
      const double unit = 32 * kEpsilon * (causal ? c.options.dropout.scale() : 1);
      const double width = std::sqrt(size.e), length = std::sqrt(size.n);
      ExpectNear(fast.o, exact.o, unit, "o");
      ExpectNear(fast.lse, exact.lse, unit * 4, "lse");  // lse is up to log n
      ExpectNear(fast.delta, exact.delta, unit * width, "delta");
      ExpectNear(fast.dq, exact.dq, unit * 2, "dq");
      ExpectNear(fast.dk, exact.dk, unit * 2 * length, "dk");
      ExpectNear(fast.dv, exact.dv, unit * length, "dv");
      ExpectNear(fast.key_effect, exact.key_effect, unit * 2 * width * length, "key_effect");
      ExpectNear(fast.query_gain, exact.query_gain, unit * 2 * width, "query_gain");
      ExpectNear(fast.key_gain, exact.key_gain, unit * 4 * width * length, "key_gain");
    }
  }
}

// Rounding moves an operand by at most u = 2^-8 of itself, with random sign; values are up to 1,
// and a sum of e such errors is about sqrt(e) as large.
//   S = <q, k> / sqrt(e) by 2u, so p by 4u of itself     o: v, p and p's own: 6u
//   dP by 2u sqrt(e), D with o's error by 6u sqrt(e), dS = p (dP - D) by these and 4u of 2 sqrt(e):
//   16u sqrt(e) p     dq = sum of dS k / sqrt(e): 16u, and u of dS and k each: 20u
// Sums over the keys of a query have weights of sum 1 (1 / (1 - rate) with dropout), those over
// queries are sqrt(n) times as large.
TEST(TfAttention, InBFloat16AgreesWithTheReferenceToItsRounding) {
  Context rounding = Context::Cpu(MatmulPrecision::kBFloat16), cpu = Context::Cpu();
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 8, 1}, CaseSize{1, 2, 33, 32, 1}, CaseSize{2, 3, 129, 33, 4, 3, true},
        CaseSize{1, 2, 300, 64, 2, 1, true}, CaseSize{1, 1, 257, 96, 1},
        CaseSize{1, 2, 521, 7, 3, 2, true}, CaseSize{2, 1, 65, 1, 500}}) {
    SCOPED_TRACE(testing::Message() << "n = " << size.n << ", e = " << size.e);
    AttentionCase c(size);
    for (const bool causal : {false, true}) {
      c.options.causal = causal;
      c.options.dropout = causal ? SomeDropout() : Dropout{};
      const auto rounded = RunAttention<float>(rounding, c);
      const auto exact = RunAttention<double>(cpu, c);
      const double u = kRoundingToBFloat16 * (causal ? c.options.dropout.scale() : 1);
      const double width = std::sqrt(size.e), length = std::sqrt(size.n);
      ExpectNear(rounded.o, exact.o, 6 * u, "o");
      ExpectNear(rounded.lse, exact.lse, 2 * u, "lse");
      ExpectNear(rounded.delta, exact.delta, 6 * u * width, "delta");
      ExpectNear(rounded.dq, exact.dq, 20 * u, "dq");
      ExpectNear(rounded.dk, exact.dk, 20 * u * length, "dk");
      ExpectNear(rounded.dv, exact.dv, 6 * u * length, "dv");
      ExpectNear(rounded.key_effect, exact.key_effect, 16 * u * width * length, "key_effect");
      ExpectNear(rounded.query_gain, exact.query_gain, 16 * u * width, "query_gain");
      ExpectNear(rounded.key_gain, exact.key_gain, 32 * u * width * length, "key_gain");
    }
  }
}

// What rounding leaves of q, k, v and dO is all that scores, outputs and dv depend on; and where a
// product's operands are rounded rows alone, its result has the precision of float32.
TEST(TfAttention, InBFloat16SeesOnlyRoundedRows) {
  Context rounding = Context::Cpu(MatmulPrecision::kBFloat16), cpu = Context::Cpu();
  for (const CaseSize& size : {CaseSize{1, 2, 33, 7, 3}, CaseSize{1, 2, 300, 64, 2, 1, true}}) {
    const AttentionCase c(size);
    AttentionCase rows(size);
    for (auto* x : {&rows.q, &rows.k, &rows.v, &rows.d_o}) {
      for (double& value : *x) value = dense_testing::AsBFloat16(static_cast<float>(value));
    }
    const auto result = RunAttention<float>(rounding, c),
               same = RunAttention<float>(rounding, rows);
    EXPECT_TRUE(result.o == same.o);
    EXPECT_TRUE(result.lse == same.lse);
    EXPECT_TRUE(result.dv == same.dv);
    const auto exact = RunAttention<double>(cpu, rows);
    ExpectNear(result.lse, exact.lse, 128 * kEpsilon, "lse");
    EXPECT_TRUE(result.o != RunAttention<float>(cpu, rows).o) << "p is rounded";
  }
}

TEST_P(TfAttentionOn, LaterTokensChangeNoEarlierBitWhenCausal) {
  AttentionCase c({1, 2, 700, 16, 2});
  c.options.causal = true;
  const auto before = RunAttention<float>(ctx_, c, /*forward_only=*/true);
  const int64_t changed = 401;
  for (int64_t x = c.Offset(0, 0, changed); x < c.Offset(0, 0, c.size.n); ++x) {
    c.q[x] = 3 - c.q[x], c.k[x] = -5 * c.k[x], c.v[x] += 2;
  }
  const auto after = RunAttention<float>(ctx_, c, /*forward_only=*/true);
  for (int64_t x = 0; x < c.Offset(0, 0, changed); ++x) EXPECT_EQ(before.o[x], after.o[x]);
  EXPECT_NE(before.o[c.Offset(0, 0, changed)], after.o[c.Offset(0, 0, changed)]);
}

// Lemma 1 of the paper: with w = 0, b > 0 all rows meet in the right-most leaf.
TEST_P(TfAttentionOn, WithZeroPlanesAndPositiveBiasesIsFullAttention) {
  const TreeShape shape = TreeShape::Binary(4);
  AttentionCase c({2, 3, 77, 16, static_cast<int>(shape.leaves()), 1, true});
  const Buffer x = Upload(ctx_, Converted<float>(c.q), c.rows());
  const Buffer weight(ctx_.device(), DType::kFloat32, {c.size.H, shape.planes(), c.size.e});
  const Buffer bias = Upload(ctx_, std::vector<float>(c.size.H * shape.planes(), 1e-6f),
                             {c.size.H, shape.planes()});
  const Buffer document = Upload(ctx_, c.document, {c.size.B, c.size.n});
  const Buffer leaf(ctx_.device(), DType::kInt32, c.lists());
  Route(ctx_, {leaf.as<int32_t>(), {}, {}, {}, {}, {}}, {x, weight, bias, shape}, document, {});
  c.query_leaf = c.key_leaf = Download<int32_t>(ctx_, leaf);
  ForEachRow(c, [&](int64_t b, int64_t h, int64_t i) {
    EXPECT_EQ(c.query_leaf[c.Row(b, h, i)], c.document[b * c.size.n + i] < 0 ? -1 : 15);
  });
  const auto result = RunAttention<float>(ctx_, c, /*forward_only=*/true);
  for (int32_t& l : c.key_leaf) l = std::min(l, 0);  // one leaf: all keys of the document
  ForEachRow(c, [&](int64_t b, int64_t h, int64_t i) {
    const auto full = DirectOutput(c, b, h, i, std::min(c.query_leaf[c.Row(b, h, i)], 0));
    for (int64_t d = 0; d < c.size.e; ++d) {
      EXPECT_NEAR(result.o[c.Offset(b, h, i) + d], full[d], 32 * kEpsilon);
    }
  });
}

class TfAttentionIn : public testing::TestWithParam<MatmulPrecision> {};
INSTANTIATE_TEST_SUITE_P(Precisions, TfAttentionIn,
                         testing::Values(MatmulPrecision::kFloat32, MatmulPrecision::kBFloat16));

// The first case is one bucket of many tiles: threads share its dq and must take turns.
TEST_P(TfAttentionIn, HasTheSameBitsForEveryNumberOfThreads) {
  const int threads_before = omp_get_max_threads();
  for (const CaseSize& size : {CaseSize{1, 1, 2600, 8, 1}, CaseSize{2, 2, 300, 32, 5, 2, true}}) {
    AttentionCase c(size);
    c.options.dropout = SomeDropout();
    for (const auto& [causal, reach] :
         {std::pair{false, -1}, {true, -1}, {false, 100}, {true, 700}}) {
      c.options.causal = causal;
      c.reach = reach;
      AttentionResult<float> first;
      for (const int threads : {1, 2, 3, 8}) {
        omp_set_num_threads(threads);
        Context ctx = Context::Cpu(GetParam());
        const auto result = RunAttention<float>(ctx, c);
        if (threads == 1) first = result;
        EXPECT_TRUE(result.o == first.o) << threads;
        EXPECT_TRUE(result.dq == first.dq) << threads;
        EXPECT_TRUE(result.dk == first.dk) << threads;
        EXPECT_TRUE(result.dv == first.dv) << threads;
        EXPECT_TRUE(result.key_effect == first.key_effect) << threads;
        EXPECT_TRUE(result.query_gain == first.query_gain) << threads;
        EXPECT_TRUE(result.key_gain == first.key_gain) << threads;
      }
    }
  }
  omp_set_num_threads(threads_before);
}

// The scratch of 8,192 tokens in one leaf is that of 512: no n x n matrix.
TEST(TfAttention, NeedsTheSameScratchForEveryLength) {
  std::vector<int64_t> bytes;
  for (const int64_t n : {512, 8192}) {
    Context ctx = Context::Cpu();
    RunAttention<float>(ctx, AttentionCase({1, 1, n, 8, 1}));
    bytes.push_back(ctx.scratch().bytes());
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_GT(bytes[0], 0);
}

TEST(TfAttention, TakesAnEmptyBatchAndEmptySequences) {
  Context ctx = Context::Cpu();
  EXPECT_TRUE(RunAttention<float>(ctx, AttentionCase({0, 2, 5, 4, 1})).o.empty());
  EXPECT_TRUE(RunAttention<float>(ctx, AttentionCase({2, 2, 0, 4, 1})).o.empty());
}

}  // namespace

}  // namespace treeformer
