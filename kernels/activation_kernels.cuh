#pragma once

// GELU, elementwise: activation.h.  x, y and their gradients bfloat16, the mathematics float32.
// A thread works on eight neighbours: one 16-byte load and store, which make up its cost.
// Pointers are multiples of 16 bytes; results may overwrite operands.

#include <cmath>

#include "kernels/cuda/device.cuh"

namespace treeformer::cuda {

constexpr int kGeluThreads = 256;
constexpr int kGeluPerThread = 8;
constexpr int kGeluPerBlock = kGeluThreads * kGeluPerThread;

// Phi(x) by erfc, which keeps its relative accuracy where x is far below 0.
DEVICE float NormalCdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }
DEVICE float NormalDensity(float x) { return 0.39894228f * device::Exp(-0.5f * x * x); }

DEVICE float Gelu(float x) { return x * NormalCdf(x); }
DEVICE float GeluGradient(float dy, float x) { return dy * (NormalCdf(x) + x * NormalDensity(x)); }

// The first of this thread's elements.
DEVICE int64_t GeluBegin() {
  return (int64_t{device::BlockX()} * kGeluThreads + device::Thread()) * kGeluPerThread;
}

KERNEL(kGeluThreads) GeluForwardKernel(BFloat16* y, const BFloat16* x, int64_t count) {
  const int64_t begin = GeluBegin();
  if (begin + kGeluPerThread <= count) {
    float value[kGeluPerThread];
    device::Unpack(value, device::Load<device::Vector16>(x + begin));
#pragma unroll
    for (float& v : value) v = Gelu(v);
    device::Store(y + begin, device::Pack(value));
  } else {
    for (int64_t i = begin; i < count; ++i) y[i] = device::ToBFloat16(Gelu(device::ToFloat(x[i])));
  }
}

KERNEL(kGeluThreads)
GeluBackwardKernel(BFloat16* dx, const BFloat16* dy, const BFloat16* x, int64_t count) {
  const int64_t begin = GeluBegin();
  if (begin + kGeluPerThread <= count) {
    float value[kGeluPerThread], gradient[kGeluPerThread];
    device::Unpack(value, device::Load<device::Vector16>(x + begin));
    device::Unpack(gradient, device::Load<device::Vector16>(dy + begin));
#pragma unroll
    for (int i = 0; i < kGeluPerThread; ++i) gradient[i] = GeluGradient(gradient[i], value[i]);
    device::Store(dx + begin, device::Pack(gradient));
  } else {
    for (int64_t i = begin; i < count; ++i) {
      dx[i] = device::ToBFloat16(GeluGradient(device::ToFloat(dy[i]), device::ToFloat(x[i])));
    }
  }
}

}  // namespace treeformer::cuda
