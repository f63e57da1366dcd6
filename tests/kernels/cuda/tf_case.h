#pragma once

// A case of TF attention in bfloat16, for kernels and for a GPU.

#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/attention_case.h"

namespace treeformer::emulated_testing {

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

}  // namespace treeformer::emulated_testing
