// Layer normalisation for float32 in vectors; threads over rows.

#include <algorithm>
#include <cmath>

#include "kernels/norm.h"
#include "kernels/runtime/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm_cpu.cc"
// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include "kernels/runtime/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void ForwardRow(float* y, float* mean, float* rstd, const float* x, const float* gamma,
                const float* beta, int64_t C, float eps) {
  const D d;
  const int64_t N = hn::Lanes(d);
  V sum = hn::Zero(d);
  for (int64_t c = 0; c < C; c += N) {
    sum = hn::Add(sum, LoadUpTo(d, x + c, std::min(N, C - c)));
  }
  *mean = hn::GetLane(hn::SumOfLanes(d, sum)) / C;

  // A second pass over x: E[x^2] - mean^2 would cancel where |mean| >> spread.
  const V m = hn::Set(d, *mean);
  V squares = hn::Zero(d);
  for (int64_t c = 0; c < C; c += N) {
    const V centred = hn::Sub(LoadUpTo(d, x + c, std::min(N, C - c), *mean), m);
    squares = hn::MulAdd(centred, centred, squares);
  }
  *rstd = 1 / std::sqrt(hn::GetLane(hn::SumOfLanes(d, squares)) / C + eps);

  const V r = hn::Set(d, *rstd);
  for (int64_t c = 0; c < C; c += N) {
    const int64_t lanes = std::min(N, C - c);
    const V normed = hn::Mul(hn::Sub(LoadUpTo(d, x + c, lanes), m), r);
    const V scale = LoadUpTo(d, gamma + c, lanes), shift = LoadUpTo(d, beta + c, lanes);
    StoreUpTo(hn::MulAdd(scale, normed, shift), d, y + c, lanes);
  }
}

// Adds this row's part of dgamma and dbeta.
void BackwardRow(float* dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                 const float* gamma, float mean, float rstd, int64_t C) {
  const D d;
  const int64_t N = hn::Lanes(d);
  const V m = hn::Set(d, mean), r = hn::Set(d, rstd);
  V sum_dn = hn::Zero(d), sum_dn_n = hn::Zero(d);
  for (int64_t c = 0; c < C; c += N) {
    const int64_t lanes = std::min(N, C - c);
    const V normed = hn::Mul(hn::Sub(LoadUpTo(d, x + c, lanes), m), r);
    const V dn = hn::Mul(LoadUpTo(d, gamma + c, lanes), LoadUpTo(d, dy + c, lanes));
    sum_dn = hn::Add(sum_dn, dn);
    sum_dn_n = hn::MulAdd(dn, normed, sum_dn_n);
  }
  const V mean_dn = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum_dn)) / C);
  const V mean_dn_n = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum_dn_n)) / C);

  for (int64_t c = 0; c < C; c += N) {
    const int64_t lanes = std::min(N, C - c);
    const V normed = hn::Mul(hn::Sub(LoadUpTo(d, x + c, lanes), m), r);
    const V dy_c = LoadUpTo(d, dy + c, lanes);
    const V dgamma_c = hn::MulAdd(dy_c, normed, LoadUpTo(d, dgamma + c, lanes));
    StoreUpTo(dgamma_c, d, dgamma + c, lanes);
    StoreUpTo(hn::Add(dy_c, LoadUpTo(d, dbeta + c, lanes)), d, dbeta + c, lanes);
    const V centred = hn::MulSub(LoadUpTo(d, gamma + c, lanes), dy_c, mean_dn);
    StoreUpTo(hn::Mul(r, hn::NegMulAdd(normed, mean_dn_n, centred)), d, dx + c, lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer {
namespace cpu {

HWY_EXPORT(ForwardRow);
HWY_EXPORT(BackwardRow);

}  // namespace cpu

void cpu::LayerNormForward(Context&, Out y_any, Out mean_any, Out rstd_any, In x_any, In gamma_any,
                           In beta_any, float eps) {
  const View<float> y = y_any, mean = mean_any, rstd = rstd_any;
  const View<const float> x = x_any, gamma = gamma_any, beta = beta_any;
  const int64_t N = x.shape()[0], C = x.shape()[1];
  const int64_t chunk = RowsPerChunk(C, /*elements=*/1 << 14);
  ParallelChunks(N, chunk, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      HWY_DYNAMIC_DISPATCH(ForwardRow)
      (y.data() + n * C, &mean[n], &rstd[n], x.data() + n * C, gamma.data(), beta.data(), C, eps);
    }
  });
}

void cpu::LayerNormBackward(Context& ctx, const LayerNormGradients& gradients, In dy_any, In x_any,
                            In gamma_any, In mean_any, In rstd_any) {
  const View<float> dx = gradients.dx, dgamma = gradients.dgamma, dbeta = gradients.dbeta;
  const View<const float> dy = dy_any, x = x_any, gamma = gamma_any;
  const View<const float> mean = mean_any, rstd = rstd_any;
  const int64_t N = x.shape()[0], C = x.shape()[1];
  const int64_t chunk = RowsPerPartialSum(N);
  const int64_t chunks = (N + chunk - 1) / chunk;
  Scratch::Scope scope(ctx.scratch());
  View<float> partial = scope.Take<float>({chunks, 2, C});  // dgamma, dbeta of each chunk

  ParallelChunks(N, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    float *dgamma_part = partial.data() + index * 2 * C, *dbeta_part = dgamma_part + C;
    std::fill(dgamma_part, dgamma_part + 2 * C, 0.0f);
    for (int64_t n = begin; n < end; ++n) {
      HWY_DYNAMIC_DISPATCH(BackwardRow)
      (dx.data() + n * C, dgamma_part, dbeta_part, dy.data() + n * C, x.data() + n * C,
       gamma.data(), mean[n], rstd[n], C);
    }
  });
  for (int64_t index = 0; index < chunks; ++index) {
    const float *dgamma_part = partial.data() + index * 2 * C, *dbeta_part = dgamma_part + C;
    for (int64_t c = 0; c < C; ++c) dgamma[c] += dgamma_part[c];
    for (int64_t c = 0; c < C; ++c) dbeta[c] += dbeta_part[c];
  }
}

}  // namespace treeformer
#endif
