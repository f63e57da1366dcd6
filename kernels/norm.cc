#include "kernels/norm.h"

#include <cmath>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

template <typename T>
void reference::LayerNormForward(Context&, Out y_any, Out mean_any, Out rstd_any, In x_any,
                                 In gamma_any, In beta_any, float eps) {
  const View<T> y = y_any, mean = mean_any, rstd = rstd_any;
  const View<const T> x = x_any, gamma = gamma_any, beta = beta_any;
  const int64_t N = x.shape()[0], C = x.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    const T* x_n = x.data() + n * C;
    T* y_n = y.data() + n * C;
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += x_n[c];
    const double m = sum / C;
    double squares = 0;
    for (int64_t c = 0; c < C; ++c) squares += (x_n[c] - m) * (x_n[c] - m);
    const double r = 1 / std::sqrt(squares / C + eps);
    for (int64_t c = 0; c < C; ++c) y_n[c] = gamma[c] * ((x_n[c] - m) * r) + beta[c];
    mean[n] = m;
    rstd[n] = r;
  }
}

template <typename T>
void reference::LayerNormBackward(Context&, const LayerNormGradients& gradients, In dy_any,
                                  In x_any, In gamma_any, In mean_any, In rstd_any) {
  const View<T> dx = gradients.dx, dgamma = gradients.dgamma, dbeta = gradients.dbeta;
  const View<const T> dy = dy_any, x = x_any, gamma = gamma_any, mean = mean_any, rstd = rstd_any;
  const int64_t N = x.shape()[0], C = x.shape()[1];
  for (int64_t n = 0; n < N; ++n) {
    const T *x_n = x.data() + n * C, *dy_n = dy.data() + n * C;
    T* dx_n = dx.data() + n * C;
    const double m = mean[n], r = rstd[n];
    double mean_dn = 0, mean_dn_n = 0;
    for (int64_t c = 0; c < C; ++c) {
      const double dn = gamma[c] * dy_n[c];
      mean_dn += dn / C;
      mean_dn_n += dn * (x_n[c] - m) * r / C;
    }
    for (int64_t c = 0; c < C; ++c) {
      const double normed = (x_n[c] - m) * r;
      dgamma[c] += dy_n[c] * normed;
      dbeta[c] += dy_n[c];
      dx_n[c] = r * (gamma[c] * dy_n[c] - mean_dn - normed * mean_dn_n);  // dx may be dy
    }
  }
}

INSTANTIATE_REFERENCE(LayerNormForward)
INSTANTIATE_REFERENCE(LayerNormBackward)

void LayerNormForward(Context& ctx, Out y, Out mean, Out rstd, In x, In gamma, In beta, float eps) {
  CHECK_EQ(x.shape().rank(), 2) << x.shape();
  const Shape rows{x.shape()[0]}, channels{x.shape()[1]};
  CHECK_EQ(y.shape(), x.shape());
  CHECK_EQ(mean.shape(), rows);
  CHECK_EQ(rstd.shape(), rows);
  CHECK_EQ(gamma.shape(), channels);
  CHECK_EQ(beta.shape(), channels);
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), LayerNormForward, y, mean, rstd, x, gamma, beta, eps);
}

void LayerNormBackward(Context& ctx, const LayerNormGradients& gradients, In dy, In x, In gamma,
                       In mean, In rstd) {
  CHECK_EQ(x.shape().rank(), 2) << x.shape();
  const Shape rows{x.shape()[0]}, channels{x.shape()[1]};
  CHECK_EQ(gradients.dx.shape(), x.shape());
  CHECK_EQ(dy.shape(), x.shape());
  CHECK_EQ(mean.shape(), rows);
  CHECK_EQ(rstd.shape(), rows);
  CHECK_EQ(gamma.shape(), channels);
  CHECK_EQ(gradients.dgamma.shape(), channels);
  CHECK_EQ(gradients.dbeta.shape(), channels);
  if (x.count() == 0) return;
  DISPATCH(ctx, x.dtype(), LayerNormBackward, gradients, dy, x, gamma, mean, rstd);
}

}  // namespace treeformer
