#include "kernels/adamw.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// A NaN stays one.
BFloat16 Rounded(float value) {
  if (std::isnan(value)) return {0x7fc0};
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// t of element i of w.
int64_t UpdatesOf(int64_t i, const Shape& shape, const AdamWOptions& options) {
  if (options.levels.empty()) return options.t;
  const int64_t heads = shape[0], entries = shape[1];
  const int64_t entry = i / (shape.count() / heads / entries) % entries;
  return std::ranges::upper_bound(options.levels, entry, {}, &AdamWLevel::end)->t;
}

}  // namespace
}  // namespace reference

template <typename T>
void reference::AdamW(Context&, Out w_any, Out m_any, Out v_any, In gradient_any, In scale_any,
                      const AdamWOptions& options, Out copy_any) {
  const View<T> w = w_any, m = m_any, v = v_any;
  const View<const T> gradient = gradient_any, scale = scale_any;
  const View<BFloat16> copy = copy_any;
  if (std::isnan(scale[0])) return;
  const double beta1 = options.beta1, beta2 = options.beta2;
  for (int64_t i = 0; i < w.count(); ++i) {
    const int64_t t = UpdatesOf(i, w.shape(), options);
    const double m_correction = 1 - std::pow(beta1, t);
    const double v_correction = 1 - std::pow(beta2, t);
    const double g = gradient[i] * scale[0];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    const double step = m[i] / m_correction / (std::sqrt(v[i] / v_correction) + options.epsilon);
    w[i] -= options.learning_rate * (step + options.weight_decay * w[i]);
    if (copy) copy[i] = Rounded(w[i]);
  }
}

template <typename T>
void reference::RoundToBFloat16(Context&, Out copy_any, In w_any) {
  const View<BFloat16> copy = copy_any;
  const View<const T> w = w_any;
  for (int64_t i = 0; i < w.count(); ++i) copy[i] = Rounded(w[i]);
}

template <typename T>
void reference::SquaredNorm(Context&, View<double> sum, In x_any) {
  const View<const T> x = x_any;
  sum[0] = 0;
  for (int64_t i = 0; i < x.count(); ++i) sum[0] += static_cast<double>(x[i]) * x[i];
}

template <typename T>
void reference::ClipScale(Context&, Out scale, View<const double> squared_norm,
                          View<const double> count, double max_norm) {
  const double norm = std::sqrt(squared_norm[0]) / count[0];
  const bool clip = max_norm > 0 && norm > max_norm;
  scale.as<T>()[0] = std::isfinite(norm) ? (clip ? max_norm / norm : 1) / count[0] : NAN;
}

INSTANTIATE_REFERENCE(AdamW)
INSTANTIATE_REFERENCE(RoundToBFloat16)
INSTANTIATE_REFERENCE(SquaredNorm)
INSTANTIATE_REFERENCE(ClipScale)

namespace {

void CheckLevels(const Shape& shape, const AdamWOptions& options) {
  CHECK_GE(options.t, 1);
  if (options.levels.empty()) return;
  CHECK_LE(static_cast<int>(options.levels.size()), AdamWOptions::kMaxLevels);
  CHECK_GE(shape.rank(), 2);
  int64_t begin = 0;
  for (const AdamWLevel& level : options.levels) {
    CHECK_GT(level.end, begin);
    CHECK_GE(level.t, 1);
    begin = level.end;
  }
  CHECK_EQ(begin, shape[1]) << "entries of the levels";
}

}  // namespace

void AdamW(Context& ctx, Out w, Out m, Out v, In gradient, In scale, const AdamWOptions& options,
           Out copy) {
  CHECK_EQ(m.shape(), w.shape());
  CHECK_EQ(v.shape(), w.shape());
  CHECK_EQ(gradient.shape(), w.shape());
  CHECK_EQ(scale.count(), 1);
  if (copy) CHECK_EQ(copy.shape(), w.shape());
  if (w.count() == 0) return;
  CheckLevels(w.shape(), options);
  DISPATCH(ctx, w.dtype(), AdamW, w, m, v, gradient, scale, options, copy);
}

void RoundToBFloat16(Context& ctx, Out copy, In w) {
  CHECK_EQ(copy.shape(), w.shape());
  if (w.count() == 0) return;
  DISPATCH(ctx, w.dtype(), RoundToBFloat16, copy, w);
}

void SquaredNorm(Context& ctx, View<double> sum, In x) {
  CHECK_EQ(sum.count(), 1);
  DISPATCH(ctx, x.dtype(), SquaredNorm, sum, x);
}

double ReadSquaredNorm(Context& ctx, In x) {
  Scratch::Scope scope(ctx.scratch());
  const View<double> sum = scope.Take<double>({1});
  SquaredNorm(ctx, sum, x);
  double value = 0;
  Copy(ctx, View<double>(&value, {1}), sum);
  ctx.Synchronize();
  return value;
}

void ClipScale(Context& ctx, Out scale, View<const double> squared_norm, View<const double> count,
               double max_norm) {
  CHECK_EQ(scale.count(), 1);
  CHECK_EQ(squared_norm.count(), 1);
  CHECK_EQ(count.count(), 1);
  DISPATCH(ctx, scale.dtype(), ClipScale, scale, squared_norm, count, max_norm);
}

}  // namespace treeformer
