#pragma once

// The matrix product of the GPU, by NVIDIA's libraries: cuBLASLt, and cuBLAS where cuBLASLt knows
// no algorithm.  Sums are float32.
//
//   c = alpha op(a) op(b) + beta c + bias      op(a) [M, K], op(b) [K, N], K > 0
//
// M are the rows of c; K and N are op(b)'s.  The rows of c and a may be longer than that says:
// their second extent is the leading dimension, and what lies behind is neither read nor written.
// bfloat16 or float32, c possibly wider than a and b.  bias [N] may be null; with it beta is 0.

#include "kernels/matmul/linear.h"

namespace treeformer::cuda {

struct Product : GemmOperands {
  Out c;
  In bias;

  int64_t M() const { return c.shape()[0]; }
  int64_t N() const { return b.shape()[transpose_b == Transpose::kYes ? 0 : 1]; }
  int64_t K() const { return b.shape()[transpose_b == Transpose::kYes ? 1 : 0]; }
};

// What NVIDIA recommends for sm_90, and demands of where it lies (cublasLtMatmul).
constexpr int64_t kWorkspaceBytes = 32 << 20;
constexpr int64_t kWorkspaceAlignment = 256;

// Whether the sum over k may be cut into parts.
enum class SplitK { kYes, kNo };

// By cuBLASLt.  False, and nothing is given to the stream, where it knows no algorithm.
bool MultiplyByLt(Context& ctx, const Product& product, SplitK split_k, View<float> workspace);

// By cuBLAS, which leaves the bias out.
void MultiplyByBlas(Context& ctx, const Product& product, View<float> workspace);

// Fatal: what lies where the libraries do not take it.
inline void CheckAlignment(const Product& product, View<float> workspace) {
  const auto rest = [](const void* data, int64_t bytes) {
    return reinterpret_cast<uintptr_t>(data) % bytes;
  };
  CHECK_EQ(rest(workspace.data(), kWorkspaceAlignment), 0u) << "the workspace of a product";
  CHECK_EQ(workspace.count() * int64_t{sizeof(float)}, kWorkspaceBytes);
  CHECK_EQ(rest(product.bias.data(), 16), 0u) << "the bias of a product";
  for (const In& matrix : {In(product.c), product.a, product.b}) {
    CHECK_EQ(rest(matrix.data(), SizeOf(matrix.dtype())), 0u) << "an operand of a product";
  }
  const bool transposed = product.transpose_a == Transpose::kYes;
  CHECK_GE(product.a.shape()[1], transposed ? product.M() : product.K());
  CHECK_GE(product.c.shape()[1], product.N());
  CHECK(!product.bias || product.beta == 0);
}

}  // namespace treeformer::cuda
