#pragma once

// Matrix products.  CPU: oneDNN, float32 operands in the context's MatmulPrecision; under kBFloat16
// each is rounded once, whole, into scratch.  Biases and their gradients are never rounded.  GPU:
// cuBLASLt, sums in float32; activations and w bfloat16, dw and dbias float32.
//
// The rows of y and dy of a linear layer may be AlignedColumns(O) long instead of O.  What lies
// behind the first O elements of a row is not written, and its value is never used.

#include "kernels/runtime/dispatch.h"

namespace treeformer {

enum class Transpose { kNo, kYes };

// Rounded up to 64: so every row lies as the widest loads of a CPU and of a GPU want it.
inline int64_t AlignedColumns(int64_t columns) { return (columns + 63) / 64 * 64; }

// c = alpha op(a) op(b) + beta c        c [M, N], op(a) [M, K], op(b) [K, N]
struct GemmOperands {
  In a;
  Transpose transpose_a = Transpose::kNo;
  In b;
  Transpose transpose_b = Transpose::kNo;
  float alpha = 1;
  float beta = 0;  // 0 overwrites c whatever it held
};

void Gemm(Context& ctx, Out c, const GemmOperands& operands);
DECLARE_BACK_ENDS(Gemm)

// y = x w^T + bias       x [N, I]   w [O, I]   bias [O], may be null   y [N, O]
void LinearForward(Context& ctx, Out y, In x, In w, In bias);
DECLARE_BACK_ENDS(LinearForward)

// pre = x w^T + bias,  y = gelu(pre): one pass where the back end has such an epilogue.
void LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias);
DECLARE_BACK_ENDS(LinearGeluForward)

// dx = dy w  (or dx += dy w)
void LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate);
DECLARE_BACK_ENDS(LinearBackwardInput)

// dw += dy^T x           dbias += sum_n dy_n, dbias may be null
void LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x);
DECLARE_BACK_ENDS(LinearBackwardWeights)

}  // namespace treeformer
