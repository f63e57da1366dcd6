#pragma once

// What cuBLASLt leaves of linear.h: the bias gradient.  dy bfloat16, dbias float32.

#include "kernels/cuda/column_sums.cuh"

namespace cuda {

// partial [chunks, O]
template <int kWidth>
KERNEL(kColumnThreads)
BiasPartialsKernel(float* partial, const BFloat16* dy, int64_t N, int64_t O) {
  SumColumnChunk<kWidth, 1>(partial, N, O, [&](float(&sum)[1][kWidth], int64_t n, int64_t o) {
    float value[kWidth];
    device::LoadFloats(value, dy + n * O + o);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[0][i] += value[i];
  });
}

KERNEL(kColumnThreads)
BiasAddPartialsKernel(float* dbias, const float* partial, int64_t chunks, int64_t O) {
  const int64_t o = int64_t{device::BlockX()} * kColumnThreads + device::Thread();
  if (o < O) dbias[o] += AddPartials(partial + o, chunks, O);
}

}  // namespace cuda
