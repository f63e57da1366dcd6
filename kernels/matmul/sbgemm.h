#pragma once

// One product of bfloat16 matrices, row-major, summed in float32 by the calling thread alone.
//
// A CPU with AVX512-BF16 makes it with oneDNN's matmul.  Elsewhere the operands are widened to
// float32, a block at a time, and go to Sgemm: the same terms, added in another order.  (A product
// of two bfloat16 is exact in float32; AVX512-BF16 takes and gives 0 for subnormal numbers.)

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace treeformer::cpu {

// C [M, N] float32 = alpha op(A) op(B) + beta C,  op(A) [M, K], op(B) [K, N];  K > 0
//   transpose: 'N' or 'T';  ld: elements from row to row as stored
void Sbgemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
            const BFloat16* A, int64_t lda, const BFloat16* B, int64_t ldb, float beta, float* C,
            int64_t ldc);

// Whether this CPU has AVX512-BF16 and oneDNN may use it (DNNL_MAX_CPU_ISA).
bool MultipliesBFloat16();

// The two ways of Sbgemm, apart for their tests.  T: BFloat16 where MultipliesBFloat16(), or float
// on every CPU.
template <typename T>
void MatmulGemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                const T* A, int64_t lda, const T* B, int64_t ldb, float beta, float* C,
                int64_t ldc);
void WidenedGemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                 const BFloat16* A, int64_t lda, const BFloat16* B, int64_t ldb, float beta,
                 float* C, int64_t ldc);

}  // namespace treeformer::cpu
