// The optimiser's work for float32 in vectors.  Compiled without contraction into fused
// multiply-adds: every operation here is rounded on its own, as IEEE 754 defines it, so ranks on
// different machines keep the same bits.

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/runtime/bfloat16.h"
#include "kernels/runtime/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw_cpu.cc"
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

void AdamWRange(float* w, float* m, float* v, const float* gradient, float scale,
                const AdamWOptions& options, int64_t t, int64_t count) {
  const D d;
  const int64_t N = hn::Lanes(d);
  const double m_correction = 1 - std::pow(options.beta1, t);
  const double v_correction = 1 - std::pow(options.beta2, t);
  auto constant = [d](double value) HWY_ATTR { return hn::Set(d, static_cast<float>(value)); };
  const V beta1 = constant(options.beta1), rest1 = constant(1 - options.beta1);
  const V beta2 = constant(options.beta2), rest2 = constant(1 - options.beta2);
  // rate m' / (sqrt(v') + epsilon), with the corrections of m' and v' taken out of the loop
  const V rate = constant(options.learning_rate / m_correction);
  const V root_correction = constant(1 / std::sqrt(v_correction));
  const V epsilon = constant(options.epsilon);
  const V decay = constant(options.learning_rate * options.weight_decay);
  for (int64_t i = 0; i < count; i += N) {
    const int64_t lanes = std::min(N, count - i);
    const V g = hn::Mul(LoadUpTo(d, gradient + i, lanes), hn::Set(d, scale));
    const V w_i = LoadUpTo(d, w + i, lanes);
    const V m_i = hn::Add(hn::Mul(beta1, LoadUpTo(d, m + i, lanes)), hn::Mul(rest1, g));
    const V v_i = hn::Add(hn::Mul(beta2, LoadUpTo(d, v + i, lanes)), hn::Mul(rest2, hn::Mul(g, g)));
    const V denominator = hn::Add(hn::Mul(hn::Sqrt(v_i), root_correction), epsilon);
    const V step = hn::Add(hn::Div(hn::Mul(rate, m_i), denominator), hn::Mul(decay, w_i));
    StoreUpTo(m_i, d, m + i, lanes);
    StoreUpTo(v_i, d, v + i, lanes);
    StoreUpTo(hn::Sub(w_i, step), d, w + i, lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer {
namespace cpu {

HWY_EXPORT(AdamWRange);

constexpr int64_t kChunk = 1 << 14;  // elements

namespace {

// The square of a float is exact in double.  Sixteen lanes on every machine.
double SquaredNormRange(const float* x, int64_t count) {
  constexpr int64_t kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += static_cast<double>(x[i + lane]) * x[i + lane];
    }
  }
  for (; i < count; ++i) lanes[i % kLanes] += static_cast<double>(x[i]) * x[i];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

}  // namespace
}  // namespace cpu

void cpu::RoundToBFloat16(Context&, Out copy_any, In w_any) {
  const View<BFloat16> copy = copy_any;
  const View<const float> w = w_any;
  ParallelChunks(w.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    RoundToBFloat16(copy.data() + begin, w.data() + begin, end - begin);
  });
}

void cpu::AdamW(Context& ctx, Out w_any, Out m_any, Out v_any, In gradient_any, In scale_any,
                const AdamWOptions& options, Out copy) {
  const View<float> w = w_any, m = m_any, v = v_any;
  const View<const float> gradient = gradient_any, scale = scale_any;
  if (std::isnan(scale[0])) return;
  const auto update = [&](int64_t begin, int64_t end, int64_t t) {
    HWY_DYNAMIC_DISPATCH(AdamWRange)
    (w.data() + begin, m.data() + begin, v.data() + begin, gradient.data() + begin, scale[0],
     options, t, end - begin);
  };
  if (options.levels.empty()) {
    ParallelChunks(w.count(), kChunk,
                   [&](int64_t, int64_t begin, int64_t end) { update(begin, end, options.t); });
  } else {
    const int64_t head = w.count() / w.shape()[0], entry = head / w.shape()[1];
    ParallelChunks(w.shape()[0], 1, [&](int64_t h, int64_t, int64_t) {
      int64_t begin = h * head;
      for (const AdamWLevel& level : options.levels) {
        const int64_t end = h * head + level.end * entry;
        update(begin, end, level.t);
        begin = end;
      }
    });
  }
  if (copy) cpu::RoundToBFloat16(ctx, copy, w);
}

void cpu::SquaredNorm(Context& ctx, View<double> sum, In x_any) {
  const View<const float> x = x_any;
  Scratch::Scope scope(ctx.scratch());
  View<double> partial = scope.Take<double>({x.count() / kChunk + 1});
  ParallelChunks(x.count(), kChunk, [&](int64_t index, int64_t begin, int64_t end) {
    partial[index] = SquaredNormRange(x.data() + begin, end - begin);
  });
  sum[0] = 0;
  for (int64_t i = 0; i * kChunk < x.count(); ++i) sum[0] += partial[i];
}

void cpu::ClipScale(Context& ctx, Out scale, View<const double> squared_norm,
                    View<const double> count, double max_norm) {
  reference::ClipScale<float>(ctx, scale, squared_norm, count, max_norm);
}

}  // namespace treeformer
#endif
