#include "kernels/sgemm.h"

#include <dnnl.h>
#include <omp.h>

#include "kernels/check.h"

namespace cpu {

void Sgemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
           const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C,
           int64_t ldc) {
  const int threads = omp_get_max_threads();  // of regions begun by this thread
  omp_set_num_threads(1);
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
  omp_set_num_threads(threads);
  CHECK_EQ(status, dnnl_success) << "dnnl_sgemm " << M << " x " << N << " x " << K;
}

}  // namespace cpu
