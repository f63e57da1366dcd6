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
}  // namespace reference

template <typename T>
void reference::GeluForward(Context&, Out y_any, In x_any) {
  const View<T> y = y_any;
  const View<const T> x = x_any;
  for (int64_t i = 0; i < x.count(); ++i) y[i] = x[i] * NormalCdf(x[i]);
}

template <typename T>
void reference::GeluBackward(Context&, Out dx_any, In dy_any, In x_any) {
  const View<T> dx = dx_any;
  const View<const T> dy = dy_any, x = x_any;
  for (int64_t i = 0; i < x.count(); ++i) {
    dx[i] = dy[i] * (NormalCdf(x[i]) + x[i] * NormalDensity(x[i]));
  }
}

INSTANTIATE_REFERENCE(GeluForward)
INSTANTIATE_REFERENCE(GeluBackward)

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
