#pragma once

// The optimiser's work: adamw.h.  All float32 but the bfloat16 copy, and the squared norm, which is
// summed in float64: blocks first, then their sums in order, a partition by the size alone.

#include <cmath>
#include <limits>

#include "kernels/adamw.h"
#include "kernels/cuda/vectors.cuh"

namespace treeformer::cuda {

constexpr int kAdamWThreads = 256;
constexpr int kAdamWPerThread = 8;
constexpr int64_t kAdamWPerBlock = kAdamWThreads * kAdamWPerThread;
constexpr int64_t kNormPerBlock = 1 << 15;  // elements
constexpr int64_t kSumSharedBytes = sizeof(double) * kAdamWThreads / device::kWarpThreads;

// AdamWOptions with the corrections of the moments taken out of the loop.
struct AdamWFactors {
  float beta1, rest1, beta2, rest2;
  float rate;             // learning_rate / (1 - beta1^t)
  float root_correction;  // (1 - beta2^t)^(-1/2)
  float epsilon;
  float decay;  // learning_rate weight_decay
};

// AdamWOptions::levels of [H, entries, entry] elements, with the corrections of each.
struct AdamWLevels {
  int64_t entries = 0, entry = 0;
  int count = 0;
  int64_t end[AdamWOptions::kMaxLevels] = {};
  float rate[AdamWOptions::kMaxLevels] = {}, root_correction[AdamWOptions::kMaxLevels] = {};
};

// Elements i .. i + kWidth - 1; `copy` may be null.
template <int kWidth>
DEVICE void AdamWUpdate(float* w, float* m, float* v, BFloat16* copy, const float* gradient,
                        float scale, const AdamWFactors& factors, int64_t i) {
  float w_i[kWidth], m_i[kWidth], v_i[kWidth], g[kWidth];
  device::LoadFloats(w_i, w + i);
  device::LoadFloats(m_i, m + i);
  device::LoadFloats(v_i, v + i);
  device::LoadFloats(g, gradient + i);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    g[k] *= scale;
    m_i[k] = factors.beta1 * m_i[k] + factors.rest1 * g[k];
    v_i[k] = factors.beta2 * v_i[k] + factors.rest2 * (g[k] * g[k]);
    const float denominator = sqrtf(v_i[k]) * factors.root_correction + factors.epsilon;
    w_i[k] -= factors.rate * m_i[k] / denominator + factors.decay * w_i[k];
  }
  device::StoreFloats(m + i, m_i);
  device::StoreFloats(v + i, v_i);
  device::StoreFloats(w + i, w_i);
  if (copy != nullptr) device::StoreFloats(copy + i, w_i);
}

DEVICE int64_t AdamWBegin() {
  return (int64_t{device::BlockX()} * kAdamWThreads + device::Thread()) * kAdamWPerThread;
}

KERNEL(kAdamWThreads)
AdamWKernel(float* w, float* m, float* v, BFloat16* copy, const float* gradient, const float* scale,
            AdamWFactors factors, int64_t count) {
  if (*scale != *scale) return;  // NaN
  const int64_t begin = AdamWBegin();
  if (begin + kAdamWPerThread <= count) {
    AdamWUpdate<kAdamWPerThread>(w, m, v, copy, gradient, *scale, factors, begin);
  } else {
    for (int64_t i = begin; i < count; ++i) {
      AdamWUpdate<1>(w, m, v, copy, gradient, *scale, factors, i);
    }
  }
}

// One element a thread: trees are small beside the rest.
KERNEL(kAdamWThreads)
AdamWLevelsKernel(float* w, float* m, float* v, BFloat16* copy, const float* gradient,
                  const float* scale, AdamWFactors factors, AdamWLevels levels, int64_t count) {
  const int64_t i = int64_t{device::BlockX()} * kAdamWThreads + device::Thread();
  if (i >= count || *scale != *scale) return;  // NaN
  const int64_t entry = i / levels.entry % levels.entries;
  int level = 0;
  while (entry >= levels.end[level]) ++level;
  factors.rate = levels.rate[level];
  factors.root_correction = levels.root_correction[level];
  AdamWUpdate<1>(w, m, v, copy, gradient, *scale, factors, i);
}

KERNEL(kAdamWThreads) RoundToBFloat16Kernel(BFloat16* copy, const float* w, int64_t count) {
  const int64_t begin = AdamWBegin();
  if (begin + kAdamWPerThread <= count) {
    float value[kAdamWPerThread];
    device::LoadFloats(value, w + begin);
    device::StoreFloats(copy + begin, value);
  } else {
    for (int64_t i = begin; i < count; ++i) copy[i] = device::ToBFloat16(w[i]);
  }
}

// The square of a float is exact in double.  One partial sum for each kNormPerBlock elements.
KERNEL(kAdamWThreads) SquaredNormPartialsKernel(double* partial, const float* x, int64_t count) {
  const int64_t begin = device::BlockX() * kNormPerBlock;
  const int64_t end = begin + kNormPerBlock < count ? begin + kNormPerBlock : count;
  double sum = 0;
  for (int64_t i = begin + device::Thread(); i < end; i += kAdamWThreads) {
    sum += static_cast<double>(x[i]) * x[i];
  }
  sum = device::BlockSum<kAdamWThreads>(
      sum, device::SharedArrays().Take<double>(kAdamWThreads / device::kWarpThreads));
  if (device::Thread() == 0) partial[device::BlockX()] = sum;
}

// One block.
KERNEL(kAdamWThreads) AddSquaredNormsKernel(double* sum, const double* partial, int64_t count) {
  double own = 0;
  for (int64_t i = device::Thread(); i < count; i += kAdamWThreads) own += partial[i];
  own = device::BlockSum<kAdamWThreads>(
      own, device::SharedArrays().Take<double>(kAdamWThreads / device::kWarpThreads));
  if (device::Thread() == 0) *sum = own;
}

// One warp, of which one thread works.
KERNEL(device::kWarpThreads)
ClipScaleKernel(float* scale, const double* squared_norm, const double* count, double max_norm) {
  if (device::Thread() != 0) return;
  const double norm = std::sqrt(*squared_norm) / *count;
  const bool clip = max_norm > 0 && norm > max_norm;
  const double factor = (clip ? max_norm / norm : 1) / *count;
  *scale = norm <= std::numeric_limits<double>::max() ? static_cast<float>(factor)
                                                      : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace treeformer::cuda
