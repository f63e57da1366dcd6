// TF attention's GPU kernels on the host, against the reference in double.

#include "kernels/tree/tf_attention.h"
#include "kernels/tree/tf_backward_kernels.cuh"
#include "kernels/tree/tf_forward_kernels.cuh"
#include "tests/kernels/cuda/tf_case.h"

namespace {

using namespace emulated_testing;
using namespace tree_testing;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Dropout SomeDropout() { return {0.3f, {/*seed=*/7, /*step=*/3, /*site=*/2}, /*offset=*/12345}; }

struct Result {
  std::vector<BFloat16> o, dq, dk, dv;
  std::vector<float> lse, delta, key_effect;
  int64_t bank_conflicts = 0;
};

template <int e, bool kDropout>
Result RunKernels(TfCase& c, const emulation::Options& options) {
  const BucketStore store = c.Store();
  TfLauncher<e> launcher(c, store.buckets(), options);
  Result r;
  for (auto* rows : {&r.o, &r.dq, &r.dk, &r.dv}) *rows = Unwritten(c.rows().count());
  for (auto* lists : {&r.lse, &r.delta, &r.key_effect}) lists->assign(c.lists().count(), NAN);
  launcher.template Launch<1>(cuda::TfForwardKernel<e, kDropout>, r.o.data(), r.lse.data());
  launcher.template Launch<2>(cuda::TfQueryGradientKernel<e, kDropout>, r.dq.data(), r.delta.data(),
                              c.d_o16.data(), r.o.data(), r.lse.data());
  launcher.template Launch<2>(cuda::TfKeyGradientKernel<e, kDropout>, r.dk.data(), r.dv.data(),
                              r.key_effect.data(), c.d_o16.data(), r.lse.data(), r.delta.data());
  r.bank_conflicts = launcher.bank_conflicts();
  return r;
}

template <bool kDropout>
Result RunWithDropout(TfCase& c, const emulation::Options& options) {
  switch (c.size.e) {
    case 32:
      return RunKernels<32, kDropout>(c, options);
    case 64:
      return RunKernels<64, kDropout>(c, options);
    case 96:
      return RunKernels<96, kDropout>(c, options);
    default:
      return RunKernels<128, kDropout>(c, options);
  }
}
Result RunTf(TfCase& c, const emulation::Options& options) {
  return c.options.dropout.enabled() ? RunWithDropout<true>(c, options)
                                     : RunWithDropout<false>(c, options);
}

// The reference's results, and sums of the magnitudes of the terms, which bound the errors.
struct Expected {
  std::vector<double> o, lse, dq, dk, dv, delta, key_effect;
  // sum over j of |p v|, |dS k| / sqrt(e); over i of |dS q| / sqrt(e), |p dO|: what rounding P and
  // dS to bfloat16 scales; and of p (|dP| + |D|), the terms of float32.
  std::vector<double> o_terms, dq_terms, dk_terms, dv_terms, query_terms, key_terms;
};

void AddMagnitudes(Expected& x, const TfCase& c, int64_t b, int64_t h, int64_t i, int64_t j) {
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
Expected Reference(TfCase& c, const Result& kernels) {
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
  reference::TfForward<double>(rows(x.o), lists(x.lse), rows(c.q), rows(c.k), rows(c.v),
                               store.buckets(), c.options);
  std::vector<double> o = ToDouble(kernels.o), lse = dense_testing::Wide(kernels.lse);
  reference::TfBackward<double>(rows(x.dq), rows(x.dk), rows(x.dv), lists(x.delta),
                                lists(x.key_effect), rows(c.d_o), rows(c.q), rows(c.k), rows(c.v),
                                rows(o), lists(lse), store.buckets(), c.options);
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
void ExpectRight(const TfCase& c, const Result& r, const Expected& x) {
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

void ExpectAgreement(const CaseSize& size, bool causal, bool dropout,
                     const std::vector<emulation::Options>& all_options) {
  SCOPED_TRACE(testing::Message() << "n = " << size.n << ", e = " << size.e << ", leaves "
                                  << size.leaves << (causal ? ", causal" : "")
                                  << (dropout ? ", dropout" : ""));
  TfCase c(size);
  c.options.causal = causal;
  if (dropout) c.options.dropout = SomeDropout();
  for (const emulation::Options& options : all_options) {
    const Result result = RunTf(c, options);
    ExpectRight(c, result, Reference(c, result));
    EXPECT_EQ(result.bank_conflicts, 0);
  }
}

TEST(TfAttentionKernels, AgreeWithTheReferenceAtEveryWidth) {
  for (const int64_t e : {32, 64, 96, 128}) {
    for (const bool causal : {false, true}) {
      for (const bool dropout : {false, true}) {
        ExpectAgreement({1, 2, 131, e, 3, 2, true}, causal, dropout,
                        {AllOptions()[causal ? 0 : 3]});
      }
    }
  }
}

// One row; one past a tile; one leaf (full attention), packed documents, many empty leaves; all
// orders of threads and both times of arrival.
TEST(TfAttentionKernels, AgreeWithTheReferenceForAwkwardLengthsAndLeaves) {
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 64, 1}, CaseSize{1, 1, 65, 64, 1}, CaseSize{2, 1, 64, 32, 5, 3, true},
        CaseSize{1, 1, 150, 64, 300}, CaseSize{1, 1, 257, 32, 1, 1, true}}) {
    for (const bool causal : {false, true}) {
      ExpectAgreement(size, causal, /*dropout=*/causal, AllOptions());
    }
  }
}

// All queries in one leaf, all keys in another, or all in the last of eight.
TEST(TfAttentionKernels, TakeCollapsedTrees) {
  for (const int32_t key_leaf : {3, 7}) {
    TfCase c({1, 1, 97, 64, 8});
    std::fill(c.query_leaf.begin(), c.query_leaf.end(), 7);
    std::fill(c.key_leaf.begin(), c.key_leaf.end(), key_leaf);
    const Result result = RunTf(c, {});
    ExpectRight(c, result, Reference(c, result));
  }
}

TEST(TfAttentionKernels, HaveTheSameBitsForEveryOrderOfThreads) {
  TfCase c({1, 1, 200, 64, 3, 2, true});
  c.options.dropout = SomeDropout();
  const Result first = RunTf(c, AllOptions()[0]);
  for (const emulation::Options& options : AllOptions()) {
    const Result result = RunTf(c, options);
    EXPECT_EQ(ToFloat(result.o), ToFloat(first.o));
    EXPECT_EQ(ToFloat(result.dq), ToFloat(first.dq));
    EXPECT_EQ(ToFloat(result.dk), ToFloat(first.dk));
    EXPECT_EQ(ToFloat(result.dv), ToFloat(first.dv));
    EXPECT_EQ(result.key_effect, first.key_effect);
  }
}

}  // namespace
