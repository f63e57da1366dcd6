#include "kernels/matmul/linear.h"

#include "kernels/activation.h"
#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {

template <typename T>
void Gemm(View<T> c, View<const T> a, Transpose transpose_a, View<const T> b, Transpose transpose_b,
          T alpha, T beta) {
  const bool a_is_transposed = transpose_a == Transpose::kYes;
  const bool b_is_transposed = transpose_b == Transpose::kYes;
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
void LinearForward(View<T> y, View<const T> x, View<const T> w, View<const T> bias) {
  Gemm<T>(y, x, Transpose::kNo, w, Transpose::kYes, 1, 0);
  if (!bias) return;
  const int64_t N = y.shape()[0], ld = y.shape()[1], O = bias.count();
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) y[n * ld + o] += bias[o];
  }
}

template <typename T>
void LinearGeluForward(View<T> y, View<T> pre, View<const T> x, View<const T> w,
                       View<const T> bias) {
  LinearForward<T>(pre, x, w, bias);
  GeluForward<T>(y, pre);
}

template <typename T>
void LinearBackwardInput(View<T> dx, View<const T> dy, View<const T> w, bool accumulate) {
  Gemm<T>(dx, dy, Transpose::kNo, w, Transpose::kNo, 1, accumulate);
}

template <typename T>
void LinearBackwardWeights(View<T> dw, View<T> dbias, View<const T> dy, View<const T> x) {
  Gemm<T>(dw, dy, Transpose::kYes, x, Transpose::kNo, 1, 1);
  if (!dbias) return;
  const int64_t N = dy.shape()[0], ld = dy.shape()[1], O = dbias.count();
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) dbias[o] += dy[n * ld + o];
  }
}

#define INSTANTIATE(T)                                                                      \
  template void Gemm<T>(View<T>, View<const T>, Transpose, View<const T>, Transpose, T, T); \
  template void LinearForward<T>(View<T>, View<const T>, View<const T>, View<const T>);     \
  template void LinearGeluForward<T>(View<T>, View<T>, View<const T>, View<const T>,        \
                                     View<const T>);                                        \
  template void LinearBackwardInput<T>(View<T>, View<const T>, View<const T>, bool);        \
  template void LinearBackwardWeights<T>(View<T>, View<T>, View<const T>, View<const T>);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // linear_cpu.cc
void Gemm(Context& ctx, View<float> c, View<const float> a, Transpose transpose_a,
          View<const float> b, Transpose transpose_b, float alpha, float beta);
void LinearForward(Context& ctx, View<float> y, View<const float> x, View<const float> w,
                   View<const float> bias);
void LinearGeluForward(Context& ctx, View<float> y, View<float> pre, View<const float> x,
                       View<const float> w, View<const float> bias);
void LinearBackwardInput(Context& ctx, View<float> dx, View<const float> dy, View<const float> w,
                         bool accumulate);
void LinearBackwardWeights(Context& ctx, View<float> dw, View<float> dbias, View<const float> dy,
                           View<const float> x);
}  // namespace cpu

namespace cuda {  // linear.cu
void Gemm(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
          float alpha, float beta);
void LinearForward(Context& ctx, Out y, In x, In w, In bias);
void LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias);
void LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate);
void LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x);
}  // namespace cuda

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

void Gemm(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
          float alpha, float beta) {
  const Shape left = Oriented(a.shape(), transpose_a), right = Oriented(b.shape(), transpose_b);
  CHECK_EQ(left[1], right[0]) << left << " times " << right;
  CHECK_EQ(c.shape(), Shape({left[0], right[1]}));
  if (c.count() == 0) return;
  DISPATCH(ctx, c.dtype(), Gemm, c, a, transpose_a, b, transpose_b, alpha, beta);
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
