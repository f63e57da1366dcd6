#pragma once

// One product of float32 matrices by oneDNN, row-major, made by the calling thread alone, wherever
// it is called from (kernels/runtime/single_thread.h).

#include <cstdint>

namespace treeformer::cpu {

// C [M, N] = alpha op(A) op(B) + beta C,  op(A) [M, K], op(B) [K, N];  K > 0
//   transpose: 'N' or 'T';  ld: elements from row to row as stored
void Sgemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
           const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C,
           int64_t ldc);

}  // namespace treeformer::cpu
