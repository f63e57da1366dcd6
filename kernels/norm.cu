#include "kernels/cuda/launch.h"
#include "kernels/norm.h"
#include "kernels/norm_kernels.cuh"

namespace treeformer {

void cuda::LayerNormForward(Context& ctx, Out y, Out mean, Out rstd, In x, In gamma, In beta,
                            float eps) {
  const int64_t N = x.shape()[0], C = x.shape()[1];
  const auto kernel =
      AllowsVectors(C, {y, x, gamma, beta}) ? LayerNormForwardKernel<8> : LayerNormForwardKernel<1>;
  Launch(ctx, kernel, {DivideUp(N, kNormRowsPerBlock)}, kNormThreads, 0, y.as<BFloat16>().data(),
         mean.as<float>().data(), rstd.as<float>().data(), x.as<BFloat16>().data(),
         gamma.as<BFloat16>().data(), beta.as<BFloat16>().data(), eps, N, C);
}

void cuda::LayerNormBackward(Context& ctx, const LayerNormGradients& gradients, In dy, In x,
                             In gamma, In mean, In rstd) {
  const auto& [dx, dgamma, dbeta] = gradients;
  const int64_t N = x.shape()[0], C = x.shape()[1], chunks = ColumnChunks(N);
  const bool vectors = AllowsVectors(C, {dx, dy, x, gamma});
  Scratch::Scope scope(ctx.scratch());
  const View<float> partial = scope.Take<float>({chunks, 2, C});
  const int width = vectors ? 8 : 1;
  const Blocks tiles{chunks, DivideUp(C, ColumnTile(width))};
  const View<const float> m = mean, r = rstd;
  const BFloat16 *dy_data = dy.as<BFloat16>().data(), *x_data = x.as<BFloat16>().data();
  // dy is read to the end before dx, which may be dy, is written.
  const auto partials = vectors ? LayerNormPartialsKernel<8> : LayerNormPartialsKernel<1>;
  Launch(ctx, partials, tiles, kColumnThreads, ColumnSharedBytes(width, /*sums=*/2), partial.data(),
         dy_data, x_data, m.data(), r.data(), N, C);
  Launch(ctx, LayerNormAddPartialsKernel, {DivideUp(C, kColumnThreads)}, kColumnThreads, 0,
         dgamma.as<float>().data(), dbeta.as<float>().data(), partial.data(), chunks, C);
  const auto backward = vectors ? LayerNormBackwardKernel<8> : LayerNormBackwardKernel<1>;
  Launch(ctx, backward, {DivideUp(N, kNormRowsPerBlock)}, kNormThreads, 0, dx.as<BFloat16>().data(),
         dy_data, x_data, gamma.as<BFloat16>().data(), m.data(), r.data(), N, C);
}

}  // namespace treeformer
