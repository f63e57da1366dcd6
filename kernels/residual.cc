#include "kernels/residual.h"

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

template <typename T>
T Dropped(T value, const Dropout& dropout, int64_t i) {
  if (!dropout.enabled()) return value;
  return dropout.Keeps(i) ? dropout.scale() * value : 0;
}

}  // namespace

template <typename T>
void ApplyDropout(View<T> y, View<const T> x, const Dropout& dropout) {
  for (int64_t i = 0; i < x.count(); ++i) y[i] = Dropped(x[i], dropout, i);
}

template <typename T>
void AddResidual(View<T> y, View<const T> x, View<const T> branch, const Dropout& dropout) {
  for (int64_t i = 0; i < x.count(); ++i) y[i] = x[i] + Dropped(branch[i], dropout, i);
}

#define INSTANTIATE(T)                                                   \
  template void ApplyDropout<T>(View<T>, View<const T>, const Dropout&); \
  template void AddResidual<T>(View<T>, View<const T>, View<const T>, const Dropout&);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // residual_cpu.cc
void ApplyDropout(Context& ctx, View<float> y, View<const float> x, const Dropout& dropout);
void AddResidual(Context& ctx, View<float> y, View<const float> x, View<const float> branch,
                 const Dropout& dropout);
}  // namespace cpu

namespace cuda {  // residual.cu
void ApplyDropout(Context& ctx, Out y, In x, const Dropout& dropout);
void AddResidual(Context& ctx, Out y, In x, In branch, const Dropout& dropout);
}  // namespace cuda

namespace {

void CheckRate(const Dropout& dropout) {
  CHECK(0 <= dropout.rate && dropout.rate < 1) << "dropout rate " << dropout.rate;
}

}  // namespace

void ApplyDropout(Context& ctx, Out y, In x, const Dropout& dropout) {
  CHECK_EQ(y.shape(), x.shape());
  CheckRate(dropout);
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), ApplyDropout, y, x, dropout);
}

void AddResidual(Context& ctx, Out y, In x, In branch, const Dropout& dropout) {
  CHECK_EQ(y.shape(), x.shape());
  CHECK_EQ(branch.shape(), x.shape());
  CheckRate(dropout);
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), AddResidual, y, x, branch, dropout);
}

}  // namespace treeformer
