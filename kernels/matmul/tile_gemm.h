#pragma once

// Matrix products of the size of a tile, by the calling thread alone; row-major, float32 or, both
// operands, bfloat16.  Large ones go to oneDNN, small ones to plain vector loops: a call of oneDNN
// costs 0.1 (Sgemm) to 3 microseconds (Sbgemm), and buckets of a few rows are common.

#include "kernels/matmul/matrix_product.h"

namespace treeformer::cpu {

// C [M, N] = alpha A [M, K] B [N, K]^T
void GemmNT(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float* C,
            int64_t ldc);
// C [M, N] = alpha A [M, K] B [K, N] + beta C
void GemmNN(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float beta, float* C,
            int64_t ldc);
// C [M, N] = alpha A [K, M]^T B [K, N] + beta C
void GemmTN(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float beta, float* C,
            int64_t ldc);

float Dot(const float* a, const float* b, int64_t count);
void AddTo(float* y, const float* x, float factor, int64_t count);  // y += factor x

}  // namespace treeformer::cpu
