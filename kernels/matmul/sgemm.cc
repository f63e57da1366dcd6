#include "kernels/matmul/sgemm.h"

#include <dnnl.h>

#include "kernels/runtime/check.h"
#include "kernels/runtime/single_thread.h"

namespace treeformer::cpu {

void Sgemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
           const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C,
           int64_t ldc) {
  const SingleThread single_thread;
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
  CHECK_EQ(status, dnnl_success) << "dnnl_sgemm " << M << " x " << N << " x " << K;
}

}  // namespace treeformer::cpu
