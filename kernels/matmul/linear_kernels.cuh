#pragma once

// What the libraries leave of linear.h: the bias gradient, dy bfloat16 [N, ld >= O] and dbias
// float32 [O]; and the bias of a product that cuBLASLt does not know.

#include "kernels/cuda/column_sums.cuh"

namespace treeformer::cuda {

// partial [chunks, O]
template <int kWidth>
KERNEL(kColumnThreads)
BiasPartialsKernel(float* partial, const BFloat16* dy, int64_t N, int64_t O, int64_t ld) {
  SumColumnChunk<kWidth, 1>(partial, N, O, [&](float(&sum)[1][kWidth], int64_t n, int64_t o) {
    float value[kWidth];
    device::LoadFloats(value, dy + n * ld + o);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[0][i] += value[i];
  });
}

KERNEL(kColumnThreads)
BiasAddPartialsKernel(float* dbias, const float* partial, int64_t chunks, int64_t O) {
  const int64_t o = int64_t{device::BlockX()} * kColumnThreads + device::Thread();
  if (o < O) dbias[o] += AddPartials(partial + o, chunks, O);
}

// y [N, ld >= O]
KERNEL(kColumnThreads)
BroadcastBiasKernel(BFloat16* y, const BFloat16* bias, int64_t N, int64_t O, int64_t ld) {
  const int64_t o = int64_t{device::BlockX()} * kColumnThreads + device::Thread();
  if (o >= O) return;
  for (int64_t n = device::BlockY(); n < N; n += device::GridY()) y[n * ld + o] = bias[o];
}

}  // namespace treeformer::cuda
