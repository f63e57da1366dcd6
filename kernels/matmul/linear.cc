#include "kernels/matmul/linear.h"

#include "kernels/activation.h"
#include "kernels/runtime/dispatch.h"

namespace treeformer {

template <typename T>
void reference::Gemm(Context&, Out c_any, const GemmOperands& operands) {
  const View<T> c = c_any;
  const View<const T> a = operands.a, b = operands.b;
  const T alpha = operands.alpha, beta = operands.beta;
  const bool a_is_transposed = operands.transpose_a == Transpose::kYes;
  const bool b_is_transposed = operands.transpose_b == Transpose::kYes;
  const int64_t M = c.shape()[0], ldc = c.shape()[1], lda = a.shape()[1];
  const int64_t K = b.shape()[b_is_transposed ? 1 : 0], N = b.shape()[b_is_transposed ? 0 : 1];
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < N; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) {
        const double a_mk = a_is_transposed ? a[k * lda + m] : a[m * lda + k];
        const double b_kn = b_is_transposed ? b[n * K + k] : b[k * N + n];
        sum += a_mk * b_kn;
      }
      c[m * ldc + n] = beta == 0 ? alpha * sum : alpha * sum + beta * c[m * ldc + n];
    }
  }
}

template <typename T>
void reference::LinearForward(Context& ctx, Out y_any, In x, In w, In bias_any) {
  reference::Gemm<T>(ctx, y_any, {x, Transpose::kNo, w, Transpose::kYes});
  const View<T> y = y_any;
  const View<const T> bias = bias_any;
  if (!bias) return;
  const int64_t N = y.shape()[0], ld = y.shape()[1], O = bias.count();
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) y[n * ld + o] += bias[o];
  }
}

template <typename T>
void reference::LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias) {
  reference::LinearForward<T>(ctx, pre, x, w, bias);
  reference::GeluForward<T>(ctx, y, pre);
}

template <typename T>
void reference::LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate) {
  const float beta = accumulate ? 1 : 0;
  reference::Gemm<T>(ctx, dx, {dy, Transpose::kNo, w, Transpose::kNo, /*alpha=*/1, beta});
}

template <typename T>
void reference::LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias_any, In dy_any, In x) {
  reference::Gemm<T>(ctx, dw,
                     {dy_any, Transpose::kYes, x, Transpose::kNo, /*alpha=*/1, /*beta=*/1});
  const View<T> dbias = dbias_any;
  const View<const T> dy = dy_any;
  if (!dbias) return;
  const int64_t N = dy.shape()[0], ld = dy.shape()[1], O = dbias.count();
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) dbias[o] += dy[n * ld + o];
  }
}

INSTANTIATE_REFERENCE(Gemm)
INSTANTIATE_REFERENCE(LinearForward)
INSTANTIATE_REFERENCE(LinearGeluForward)
INSTANTIATE_REFERENCE(LinearBackwardInput)
INSTANTIATE_REFERENCE(LinearBackwardWeights)

namespace {

// The shape of op(a).
Shape Oriented(const Shape& shape, Transpose transpose) {
  CHECK_EQ(shape.rank(), 2) << shape;
  return transpose == Transpose::kNo ? shape : Shape{shape[1], shape[0]};
}

void CheckLinear(const Shape& y, const Shape& x, const Shape& w, In bias) {
  CHECK_EQ(x.rank(), 2) << x;
  CHECK_EQ(w.rank(), 2) << w;
  CHECK_EQ(w[1], x[1]);
  CHECK_EQ(y, Shape({x[0], y[1]}));
  CHECK(y[1] == w[0] || y[1] == AlignedColumns(w[0])) << y << " of " << w[0] << " columns";
  if (bias) CHECK_EQ(bias.shape(), Shape({w[0]}));
}

}  // namespace

void Gemm(Context& ctx, Out c, const GemmOperands& operands) {
  const Shape left = Oriented(operands.a.shape(), operands.transpose_a);
  const Shape right = Oriented(operands.b.shape(), operands.transpose_b);
  CHECK_EQ(left[1], right[0]) << left << " times " << right;
  CHECK_EQ(c.shape(), Shape({left[0], right[1]}));
  if (c.count() == 0) return;
  DISPATCH(ctx, c.dtype(), Gemm, c, operands);
}

void LinearForward(Context& ctx, Out y, In x, In w, In bias) {
  CheckLinear(y.shape(), x.shape(), w.shape(), bias);
  if (y.count() == 0) return;
  DISPATCH(ctx, y.dtype(), LinearForward, y, x, w, bias);
}

void LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias) {
  CheckLinear(y.shape(), x.shape(), w.shape(), bias);
  CHECK_EQ(pre.shape(), y.shape());
  if (y.count() == 0) return;
  DISPATCH(ctx, y.dtype(), LinearGeluForward, y, pre, x, w, bias);
}

void LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate) {
  CheckLinear(dy.shape(), dx.shape(), w.shape(), /*bias=*/{});
  if (dx.count() == 0) return;
  DISPATCH(ctx, dx.dtype(), LinearBackwardInput, dx, dy, w, accumulate);
}

void LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x) {
  CheckLinear(dy.shape(), x.shape(), dw.shape(), dbias);
  if (dy.count() == 0) return;
  DISPATCH(ctx, dw.dtype(), LinearBackwardWeights, dw, dbias, dy, x);
}

}  // namespace treeformer
