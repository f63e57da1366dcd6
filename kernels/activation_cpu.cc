// GELU for float32 in vectors.
//
//   Phi(-a) = exp(-a^2 / 2) h(a)  and  Phi(a) = 1 - Phi(-a)  for a >= 0,
//   h(a) = erfcx(a / sqrt 2) / 2, smooth and slowly falling from h(0) = 1/2: a polynomial of
//   degree 10 in u = (a - 7/2) / (a + 7/2), interpolated at Chebyshev nodes on a in [0, 14.5]
//   (relative error 2.5e-9; beyond 14.5 Phi(-a) is below the smallest float).
// No difference of nearly equal numbers anywhere: the relative error of Phi(x) is at most
// (x^2 / 2 + 12) 2^-24, the first term from rounding the argument of exp.

#include <algorithm>

#include "kernels/activation.h"
#include "kernels/runtime/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation_cpu.cc"
// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
#include "kernels/runtime/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Phi(x) and exp(-x^2 / 2).
HWY_INLINE V NormalCdf(D d, V x, V& exponential) {
  constexpr float kPolynomial[] = {
      1.0634515371841134e-01f,  -1.8713969777724113e-01f, 1.2585524486004754e-01f,
      -6.1639454231538146e-02f, 1.9065726309250675e-02f,  -1.5611492003587838e-03f,
      -1.3819088917937831e-03f, 3.8909714276676400e-04f,  1.3408200406071966e-04f,
      -5.0734146165337300e-05f, -2.0236348503648754e-05f};
  const V a = hn::Min(hn::Abs(x), hn::Set(d, 14.5f)), pole = hn::Set(d, 3.5f);
  const V u = hn::Div(hn::Sub(a, pole), hn::Add(a, pole));
  V h = hn::Set(d, kPolynomial[10]);
  for (int i = 9; i >= 0; --i) h = hn::MulAdd(h, u, hn::Set(d, kPolynomial[i]));
  exponential = hn::Exp(d, hn::Mul(hn::Mul(a, a), hn::Set(d, -0.5f)));
  const V tail = hn::Mul(h, exponential);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

void GeluForwardRange(float* y, const float* x, int64_t count) {
  const D d;
  const int64_t N = hn::Lanes(d);
  for (int64_t i = 0; i < count; i += N) {
    const int64_t lanes = std::min(N, count - i);
    const V x_i = LoadUpTo(d, x + i, lanes);
    V exponential;
    StoreUpTo(hn::Mul(x_i, NormalCdf(d, x_i, exponential)), d, y + i, lanes);
  }
}

void GeluBackwardRange(float* dx, const float* dy, const float* x, int64_t count) {
  const D d;
  const int64_t N = hn::Lanes(d);
  const V density_at_0 = hn::Set(d, 0.3989422804014327f);  // 1 / sqrt(2 pi)
  for (int64_t i = 0; i < count; i += N) {
    const int64_t lanes = std::min(N, count - i);
    const V x_i = LoadUpTo(d, x + i, lanes), dy_i = LoadUpTo(d, dy + i, lanes);
    V exponential;
    const V cdf = NormalCdf(d, x_i, exponential);
    const V density = hn::Mul(density_at_0, exponential);
    StoreUpTo(hn::Mul(dy_i, hn::MulAdd(x_i, density, cdf)), d, dx + i, lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer {
namespace cpu {

HWY_EXPORT(GeluForwardRange);
HWY_EXPORT(GeluBackwardRange);

constexpr int64_t kChunk = 1 << 14;  // elements

}  // namespace cpu

void cpu::GeluForward(Context&, Out y_any, In x_any) {
  const View<float> y = y_any;
  const View<const float> x = x_any;
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GeluForwardRange)(y.data() + begin, x.data() + begin, end - begin);
  });
}

void cpu::GeluBackward(Context&, Out dx_any, In dy_any, In x_any) {
  const View<float> dx = dx_any;
  const View<const float> dy = dy_any, x = x_any;
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GeluBackwardRange)
    (dx.data() + begin, dy.data() + begin, x.data() + begin, end - begin);
  });
}

}  // namespace treeformer
#endif
