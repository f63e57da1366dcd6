#pragma once

// Matrix products in float32 against the reference, on any back end.

#include "kernels/matmul/linear.h"
#include "tests/kernels/dense_testing.h"

namespace treeformer::dense_testing {

inline void ExpectEveryTransposition(Context& ctx, int64_t K) {
  constexpr int64_t M = 19, N = 37;
  const auto a = Random<float>(M * K, 1), b = Random<float>(K * N, 2), c = Random<float>(M * N, 3);
  for (Transpose ta : {Transpose::kNo, Transpose::kYes}) {
    for (Transpose tb : {Transpose::kNo, Transpose::kYes}) {
      const Shape a_shape = ta == Transpose::kNo ? Shape{M, K} : Shape{K, M};
      const Shape b_shape = tb == Transpose::kNo ? Shape{K, N} : Shape{N, K};
      auto a64 = Wide(a), b64 = Wide(b), expected = Wide(c);
      reference::Gemm<double>(
          testing_util::HostContext(), On(expected, {M, N}),
          {On(a64, a_shape), ta, On(b64, b_shape), tb, /*alpha=*/0.5f, /*beta=*/2});
      const Tensor<float> a_on(ctx, a_shape, a), b_on(ctx, b_shape, b), c_on(ctx, {M, N}, c);
      Gemm(ctx, c_on, {a_on, ta, b_on, tb, /*alpha=*/0.5f, /*beta=*/2});
      ExpectNear(c_on.values(), expected, DotTolerance(K + 4), "c");
    }
  }
}

}  // namespace treeformer::dense_testing
