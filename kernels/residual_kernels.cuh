#pragma once

// Dropout and the residual connection: residual.h.  bfloat16, the mathematics float32; the same
// elements are dropped as on the CPU.

#include "kernels/base/random.h"
#include "kernels/cuda/vectors.cuh"

namespace treeformer::cuda {

constexpr int kResidualThreads = 256;

// Bit k: element i + k is kept, k < kWidth.
template <int kWidth>
DEVICE uint32_t KeptOf(const Dropout& dropout, int64_t i) {
  uint32_t kept = 0;
  const uint64_t element = dropout.offset + i;
  if (kWidth == 8 && element % 4 == 0) {  // two blocks of random numbers, not eight
#pragma unroll
    for (int block = 0; block < 2; ++block) {
      const auto bits = RandomBlock(dropout.key, element / 4 + block);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        kept |= uint32_t{UniformOfBits(bits[k]) >= dropout.rate} << (4 * block + k);
      }
    }
  } else {
#pragma unroll 1
    for (int k = 0; k < kWidth; ++k) kept |= uint32_t{dropout.Keeps(i + k)} << k;
  }
  return kept;
}

// y = x + dropout(branch) on elements i .. i + kWidth - 1; x may be null: 0.
template <int kWidth>
DEVICE void AddDropout(BFloat16* y, const BFloat16* x, const BFloat16* branch,
                       const Dropout& dropout, int64_t i) {
  float sum[kWidth] = {}, value[kWidth];
  if (x != nullptr) device::LoadFloats(sum, x + i);
  device::LoadFloats(value, branch + i);
  const uint32_t kept = dropout.enabled() ? KeptOf<kWidth>(dropout, i) : 0xff;
  const float scale = dropout.scale();
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    if (kept >> k & 1) sum[k] += scale * value[k];
  }
  device::StoreFloats(y + i, sum);
}

// kWidth elements a thread; y may be x.
template <int kWidth>
KERNEL(kResidualThreads)
AddDropoutKernel(BFloat16* y, const BFloat16* x, const BFloat16* branch, Dropout dropout,
                 int64_t count) {
  const int64_t begin = (int64_t{device::BlockX()} * kResidualThreads + device::Thread()) * kWidth;
  if (begin + kWidth <= count) {
    AddDropout<kWidth>(y, x, branch, dropout, begin);
  } else {
    for (int64_t i = begin; i < count; ++i) AddDropout<1>(y, x, branch, dropout, i);
  }
}

}  // namespace treeformer::cuda
