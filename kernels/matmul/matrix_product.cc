#include "kernels/matmul/matrix_product.h"

#include "kernels/matmul/sbgemm.h"
#include "kernels/matmul/sgemm.h"
#include "kernels/runtime/check.h"

namespace treeformer::cpu {

void MatrixProduct(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                   Matrix A, Matrix B, float beta, float* C, int64_t ldc) {
  CHECK(A.dtype == B.dtype);
  if (A.dtype == DType::kBFloat16) {
    Sbgemm(transpose_a, transpose_b, M, N, K, alpha, A.as<BFloat16>(), A.ld, B.as<BFloat16>(), B.ld,
           beta, C, ldc);
  } else {
    CHECK(A.dtype == DType::kFloat32);
    Sgemm(transpose_a, transpose_b, M, N, K, alpha, A.as<float>(), A.ld, B.as<float>(), B.ld, beta,
          C, ldc);
  }
}

}  // namespace treeformer::cpu
