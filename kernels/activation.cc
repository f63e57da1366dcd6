#include "kernels/activation.h"

#include <cmath>
#include <numbers>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// Phi(x): erfc, as 1 + erf(x / sqrt 2) cancels where x is far below 0.
double NormalCdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

double NormalDensity(double x) {
  return std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
}

}  // namespace

template <typename T>
void GeluForward(View<T> y, View<const T> x) {
  for (int64_t i = 0; i < x.count(); ++i) y[i] = x[i] * NormalCdf(x[i]);
}

template <typename T>
void GeluBackward(View<T> dx, View<const T> dy, View<const T> x) {
  for (int64_t i = 0; i < x.count(); ++i) {
    dx[i] = dy[i] * (NormalCdf(x[i]) + x[i] * NormalDensity(x[i]));
  }
}

#define INSTANTIATE(T)                                  \
  template void GeluForward<T>(View<T>, View<const T>); \
  template void GeluBackward<T>(View<T>, View<const T>, View<const T>);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // activation_cpu.cc
void GeluForward(Context& ctx, View<float> y, View<const float> x);
void GeluBackward(Context& ctx, View<float> dx, View<const float> dy, View<const float> x);
}  // namespace cpu

namespace cuda {  // activation.cu
void GeluForward(Context& ctx, Out y, In x);
void GeluBackward(Context& ctx, Out dx, In dy, In x);
}  // namespace cuda

void GeluForward(Context& ctx, Out y, In x) {
  CHECK_EQ(y.shape(), x.shape());
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), GeluForward, y, x);
}

void GeluBackward(Context& ctx, Out dx, In dy, In x) {
  CHECK_EQ(dx.shape(), x.shape());
  CHECK_EQ(dy.shape(), x.shape());
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), GeluBackward, dx, dy, x);
}

}  // namespace treeformer
