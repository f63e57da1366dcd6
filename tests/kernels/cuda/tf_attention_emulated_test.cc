// TF attention's GPU kernels on the host, against the reference in double.

#include "kernels/tree/tf/tf_backward_kernels.cuh"
#include "kernels/tree/tf/tf_forward_kernels.cuh"
#include "tests/kernels/cuda/tf_launcher.h"
#include "tests/kernels/cuda/tf_reference.h"

namespace treeformer {

namespace {

using namespace tf_reference;
using namespace tree_testing;

template <int e, bool kDropout>
Result RunKernels(TfCase& c, const emulation::Options& options, bool key_effect) {
  const BucketStore store = c.Store();
  TfLauncher<e> launcher(c, store.buckets(), options);
  Result r;
  for (auto* rows : {&r.o, &r.dq, &r.dk, &r.dv}) *rows = Unwritten(c.rows().count());
  for (auto* lists : {&r.lse, &r.delta, &r.key_effect}) lists->assign(c.lists().count(), NAN);
  launcher.template Launch<1>(cuda::TfForwardKernel<e, kDropout>, r.o.data(), r.lse.data());
  launcher.template Launch<2>(cuda::TfQueryGradientKernel<e, kDropout>, r.dq.data(), r.delta.data(),
                              c.d_o16.data(), r.o.data(), r.lse.data());
  launcher.template Launch<2>(cuda::TfKeyGradientKernel<e, kDropout>, r.dk.data(), r.dv.data(),
                              key_effect ? r.key_effect.data() : nullptr, c.d_o16.data(),
                              r.lse.data(), r.delta.data());
  r.bank_conflicts = launcher.bank_conflicts();
  return r;
}

template <bool kDropout>
Result RunWithDropout(TfCase& c, const emulation::Options& options, bool key_effect) {
  switch (c.size.e) {
    case 32:
      return RunKernels<32, kDropout>(c, options, key_effect);
    case 64:
      return RunKernels<64, kDropout>(c, options, key_effect);
    case 96:
      return RunKernels<96, kDropout>(c, options, key_effect);
    default:
      return RunKernels<128, kDropout>(c, options, key_effect);
  }
}
Result RunTf(TfCase& c, const emulation::Options& options, bool key_effect = true) {
  return c.options.dropout.enabled() ? RunWithDropout<true>(c, options, key_effect)
                                     : RunWithDropout<false>(c, options, key_effect);
}

void ExpectAgreement(TfCase& c, bool causal, bool dropout,
                     const std::vector<emulation::Options>& all_options) {
  SCOPED_TRACE(testing::Message() << "n = " << c.size.n << ", e = " << c.size.e << ", leaves "
                                  << c.size.leaves << (causal ? ", causal" : "")
                                  << (dropout ? ", dropout" : ""));
  c.options.causal = causal;
  if (dropout) c.options.dropout = SomeDropout();
  for (const emulation::Options& options : all_options) {
    SCOPED_TRACE(options);
    const Result result = RunTf(c, options);
    ExpectRight(c, result, Reference(c, result));
    EXPECT_EQ(result.bank_conflicts, 0);
  }
}

TEST(TfAttentionKernels, AgreeWithTheReferenceAtEveryWidth) {
  for (const int64_t e : {32, 64, 96, 128}) {
    for (const bool causal : {false, true}) {
      for (const bool dropout : {false, true}) {
        TfCase c({1, 2, 131, e, 3, 2, true});
        ExpectAgreement(c, causal, dropout, {AllOptions()[causal ? 0 : 3]});
      }
    }
  }
}

// One row; one past a tile; one leaf (full attention), packed documents, many empty leaves; all
// orders of threads and both times of arrival.
TEST(TfAttentionKernels, AgreeWithTheReferenceForAwkwardLengthsAndLeaves) {
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 64, 1}, CaseSize{1, 1, 65, 64, 1}, CaseSize{2, 3, 64, 32, 5, 3, true},
        CaseSize{1, 1, 150, 64, 300}, CaseSize{1, 1, 257, 32, 1, 1, true}}) {
    for (const bool causal : {false, true}) {
      TfCase c(size);
      ExpectAgreement(c, causal, /*dropout=*/causal, AllOptions());
    }
  }
}

// Ranges of neighbouring rows overlap: a row alone, a part of a tile, several tiles.
TEST(TfAttentionKernels, AgreeWithTheReferenceInAWindow) {
  for (const int64_t reach : {0, 1, 10, 70}) {
    for (const CaseSize& size : {CaseSize{1, 1, 65, 64, 1}, CaseSize{1, 2, 257, 32, 1, 2, true}}) {
      SCOPED_TRACE(testing::Message() << "reach " << reach);
      TfCase c(size);
      c.reach = reach;
      ExpectAgreement(c, /*causal=*/reach == 10, /*dropout=*/reach == 70, {AllOptions()[3]});
    }
  }
}

// All queries in one leaf, all keys in another, or all in the last of eight.
TEST(TfAttentionKernels, TakeCollapsedTrees) {
  for (const int32_t key_leaf : {3, 7}) {
    TfCase c({1, 1, 97, 64, 8, 2, true});
    Collapse(c.query_leaf, 7);
    Collapse(c.key_leaf, key_leaf);
    for (const bool causal : {false, true}) {
      ExpectAgreement(c, causal, /*dropout=*/false, AllOptions());
    }
  }
}

TEST(TfAttentionKernels, AKeyEffectThatNobodyWantsChangesNothingElse) {
  TfCase c({1, 1, 70, 32, 2});
  const Result with = RunTf(c, {}), without = RunTf(c, {}, /*key_effect=*/false);
  EXPECT_EQ(ToFloat(without.dk), ToFloat(with.dk));
  EXPECT_EQ(ToFloat(without.dv), ToFloat(with.dv));
  for (const float effect : without.key_effect) EXPECT_TRUE(std::isnan(effect));
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

}  // namespace treeformer
