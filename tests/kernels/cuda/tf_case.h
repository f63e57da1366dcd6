#pragma once

// What the tests of TF attention's emulated kernels share: a case in bfloat16, and its launches.

#include "kernels/tree/tf_tiles.cuh"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/attention_case.h"

namespace emulated_testing {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

// A problem whose values are bfloat16, in both forms, with its buckets.
struct TfCase : tree_testing::AttentionCase {
  Context ctx = Context::Cpu();
  std::vector<BFloat16> q16, k16, v16, d_o16;

  explicit TfCase(const tree_testing::CaseSize& size) : AttentionCase(size) {
    const auto round = [](std::vector<double>& values) {
      const std::vector<BFloat16> rounded = ToBFloat16(tree_testing::Converted<float>(values));
      values = ToDouble(rounded);
      return rounded;
    };
    q16 = round(q), k16 = round(k), v16 = round(v), d_o16 = round(d_o);
  }
  tree_testing::BucketStore Store() { return Store(query_leaf, key_leaf); }
  tree_testing::BucketStore Store(const std::vector<int32_t>& queries,
                                  const std::vector<int32_t>& keys) {
    return AttentionCase::Store(ctx, queries, keys);
  }
};

// Launches kernels over buckets of a case, which it refers to.
template <int e>
class TfLauncher {
 public:
  TfLauncher(const TfCase& c, const Buckets& buckets, const emulation::Options& options)
      : options_(options), lists_(c.size.B * c.size.H) {
    CHECK_EQ(c.size.e, e);
    p_ = {c.q16.data(),
          c.k16.data(),
          c.v16.data(),
          buckets.query_order.data(),
          buckets.key_order.data(),
          buckets.key_range.data(),
          buckets.query_range.data(),
          static_cast<int>(c.size.n),
          static_cast<int>(c.size.H),
          Blocks(c.size.n, cuda::kTfRows),
          static_cast<float>(1 / std::sqrt(double{e})),
          c.options.dropout};
    if (!c.options.causal) return;
    key_range_ = CausalRange(buckets.key_range, buckets.query_order, buckets.key_order,
                             /*queries=*/true);
    query_range_ = CausalRange(buckets.query_range, buckets.key_order, buckets.query_order,
                               /*queries=*/false);
    p_.key_range = key_range_.data();
    p_.query_range = query_range_.data();
  }

  template <int kOwnTiles, typename Kernel, typename... Arguments>
  void Launch(Kernel* kernel, const Arguments&... arguments) {
    const int blocks = static_cast<int>(lists_) * p_.tiles;
    bank_conflicts_ +=
        emulation::Launch({blocks}, cuda::kTfThreads, sizeof(cuda::TfShared<e, kOwnTiles>),
                          options_, kernel, p_, arguments...)
            .bank_conflicts;
  }
  int64_t bank_conflicts() const { return bank_conflicts_; }

 private:
  std::vector<int32_t> CausalRange(Ids range, Ids order, Ids other_order, bool queries) const {
    std::vector<int32_t> causal(range.count(), -1);
    const int64_t count = order.count();
    emulation::Launch({Blocks(count, cuda::kCausalThreads)}, cuda::kCausalThreads, 0, options_,
                      cuda::CausalRangeKernel, causal.data(), range.data(), order.data(),
                      other_order.data(), queries, p_.n, count);
    return causal;
  }

  emulation::Options options_;
  int64_t lists_;
  cuda::TfProblem p_;
  std::vector<int32_t> key_range_, query_range_;
  int64_t bank_conflicts_ = 0;
};

}  // namespace emulated_testing
