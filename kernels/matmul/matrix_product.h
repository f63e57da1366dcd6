#pragma once

// One product of two matrices in float32 or bfloat16, row-major, summed in float32 by the calling
// thread alone: Sgemm or Sbgemm.

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace treeformer::cpu {

// An operand where it lies: float32 or bfloat16, ld elements from row to row as stored.
struct Matrix {
  const void* data;
  int64_t ld;
  DType dtype = DType::kFloat32;

  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  // The part from this row and column, as stored, on.
  Matrix From(int64_t row, int64_t column) const {
    return {as<char>() + (row * ld + column) * SizeOf(dtype), ld, dtype};
  }
};

// C [M, N] = alpha op(A) op(B) + beta C,  op(A) [M, K], op(B) [K, N] of one dtype;  K > 0
//   transpose: 'N' or 'T'
void MatrixProduct(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                   Matrix A, Matrix B, float beta, float* C, int64_t ldc);

}  // namespace treeformer::cpu
