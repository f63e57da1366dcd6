#pragma once

// Layer normalisation: norm.h.  Activations, gamma and beta bfloat16; mean, rstd and the
// parameters' gradients float32.  A warp works on one row, which it reads from the cache again for
// each pass.

#include <cmath>

#include "kernels/cuda/column_sums.cuh"

namespace treeformer::cuda {

constexpr int kNormThreads = 128;
constexpr int kNormRowsPerBlock = kNormThreads / device::kWarpThreads;

DEVICE int64_t NormRow() { return int64_t{device::BlockX()} * kNormRowsPerBlock + device::Warp(); }

// body(c) for the first of each kWidth columns that are this lane's.
template <int kWidth, typename Body>
DEVICE void ForEachColumn(int64_t C, const Body& body) {
  for (int64_t c = device::Lane() * kWidth; c < C; c += device::kWarpThreads * kWidth) body(c);
}

template <int kWidth>
KERNEL(kNormThreads)
LayerNormForwardKernel(BFloat16* y, float* mean, float* rstd, const BFloat16* x,
                       const BFloat16* gamma, const BFloat16* beta, float eps, int64_t N,
                       int64_t C) {
  const int64_t n = NormRow();
  if (n >= N) return;
  x += n * C;
  y += n * C;
  float x_c[kWidth], sum = 0;
  ForEachColumn<kWidth>(C, [&](int64_t c) {
    device::LoadFloats(x_c, x + c);
#pragma unroll
    for (const float value : x_c) sum += value;
  });
  const float m = device::WarpSum(sum) / C;

  float squares = 0;
  ForEachColumn<kWidth>(C, [&](int64_t c) {
    device::LoadFloats(x_c, x + c);
#pragma unroll
    for (const float value : x_c) squares += (value - m) * (value - m);
  });
  const float r = 1 / sqrtf(device::WarpSum(squares) / C + eps);
  if (device::Lane() == 0) {
    mean[n] = m;
    rstd[n] = r;
  }

  ForEachColumn<kWidth>(C, [&](int64_t c) {
    float gamma_c[kWidth], beta_c[kWidth];
    device::LoadFloats(x_c, x + c);
    device::LoadFloats(gamma_c, gamma + c);
    device::LoadFloats(beta_c, beta + c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x_c[i] = gamma_c[i] * ((x_c[i] - m) * r) + beta_c[i];
    device::StoreFloats(y + c, x_c);
  });
}

// dx may be dy: a lane reads its columns for the last time just before it writes them.
template <int kWidth>
KERNEL(kNormThreads)
LayerNormBackwardKernel(BFloat16* dx, const BFloat16* dy, const BFloat16* x, const BFloat16* gamma,
                        const float* mean, const float* rstd, int64_t N, int64_t C) {
  const int64_t n = NormRow();
  if (n >= N) return;
  const float m = mean[n], r = rstd[n];
  float dn[kWidth], normed[kWidth], gamma_c[kWidth];
  const auto load = [&](int64_t c) {
    device::LoadFloats(dn, dy + n * C + c);
    device::LoadFloats(normed, x + n * C + c);
    device::LoadFloats(gamma_c, gamma + c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      dn[i] *= gamma_c[i];
      normed[i] = (normed[i] - m) * r;
    }
  };
  float sum_dn = 0, sum_dn_n = 0;
  ForEachColumn<kWidth>(C, [&](int64_t c) {
    load(c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      sum_dn += dn[i];
      sum_dn_n += dn[i] * normed[i];
    }
  });
  const float mean_dn = device::WarpSum(sum_dn) / C, mean_dn_n = device::WarpSum(sum_dn_n) / C;
  ForEachColumn<kWidth>(C, [&](int64_t c) {
    load(c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) dn[i] = r * (dn[i] - mean_dn - normed[i] * mean_dn_n);
    device::StoreFloats(dx + n * C + c, dn);
  });
}

// partial [chunks, 2, C]: dgamma, dbeta
template <int kWidth>
KERNEL(kColumnThreads)
LayerNormPartialsKernel(float* partial, const BFloat16* dy, const BFloat16* x, const float* mean,
                        const float* rstd, int64_t N, int64_t C) {
  SumColumnChunk<kWidth, 2>(partial, N, C, [&](float(&sum)[2][kWidth], int64_t n, int64_t c) {
    const float m = mean[n], r = rstd[n];
    float dy_c[kWidth], x_c[kWidth];
    device::LoadFloats(dy_c, dy + n * C + c);
    device::LoadFloats(x_c, x + n * C + c);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      sum[0][i] += dy_c[i] * ((x_c[i] - m) * r);
      sum[1][i] += dy_c[i];
    }
  });
}

KERNEL(kColumnThreads)
LayerNormAddPartialsKernel(float* dgamma, float* dbeta, const float* partial, int64_t chunks,
                           int64_t C) {
  const int64_t c = int64_t{device::BlockX()} * kColumnThreads + device::Thread();
  if (c >= C) return;
  dgamma[c] += AddPartials(partial + c, chunks, 2 * C);
  dbeta[c] += AddPartials(partial + C + c, chunks, 2 * C);
}

}  // namespace treeformer::cuda
