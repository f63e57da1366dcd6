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
}  // namespace reference

template <typename T>
void reference::ApplyDropout(Context&, Out y_any, In x_any, const Dropout& dropout) {
  const View<T> y = y_any;
  const View<const T> x = x_any;
  for (int64_t i = 0; i < x.count(); ++i) y[i] = Dropped(x[i], dropout, i);
}

template <typename T>
void reference::AddResidual(Context&, Out y_any, In x_any, In branch_any, const Dropout& dropout) {
  const View<T> y = y_any;
  const View<const T> x = x_any, branch = branch_any;
  for (int64_t i = 0; i < x.count(); ++i) y[i] = x[i] + Dropped(branch[i], dropout, i);
}

INSTANTIATE_REFERENCE(ApplyDropout)
INSTANTIATE_REFERENCE(AddResidual)

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
