#pragma once

// The matrix product of the GPU: cuBLASLt.  Sums are float32.

#include "kernels/linear.h"

namespace cuda {

// c = alpha op(a) op(b) + beta c + bias        c [M, N], op(a) [M, K], op(b) [K, N], K > 0
// bias [N], may be null.  bfloat16 or float32, c possibly wider than a and b.
void Multiply(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
              float alpha, float beta, In bias);

}  // namespace cuda
