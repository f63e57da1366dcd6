#include "kernels/cuda/launch.h"
#include "kernels/tree/buckets/sort.h"
#include "kernels/tree/tf/flip_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

// dweight, dbias: the slopes of one of the planes of every decision.
void AddPlaneGradients(Context& ctx, const RouterGradients& gradients, In x, Ids plane,
                       const FlipSlopes& slopes, const FlipSizes& sizes, float sign) {
  Scratch::Scope scope(ctx.scratch());
  const View<int32_t> order = scope.Take<int32_t>(plane.shape());
  const View<float> partial =
      scope.Take<float>({sizes.B, sizes.heads, sizes.runs(), sizes.columns + 1});
  SortRows(ctx, order, plane, /*document=*/{}, sizes.planes);
  Launch(ctx, FlipPartialsKernel, {DivideUp(sizes.warps(), kFlipWarps)}, kFlipThreads, 0,
         partial.data(), order.data(), plane.data(), slopes, x.as<BFloat16>().data(), sizes, sign);
  Launch(ctx, FlipReduceKernel, {sizes.heads * sizes.planes}, kFlipReduceThreads,
         kFlipReduceThreads * sizeof(SlotRange), gradients.dweight.as<float>().data(),
         gradients.dbias.as<float>().data(), partial.data(), order.data(), plane.data(), sizes);
}

}  // namespace
}  // namespace cuda

void cuda::FlipBackward(Context& ctx, const RouterGradients& gradients, In gain,
                        const RouterOperands& router, const FlipDecisions& decisions, float tau) {
  const auto& [x, weight, bias, shape] = router;
  const Acc dx = gradients.dx;
  const FlipSizes sizes{x.shape()[0], x.shape()[1],   weight.shape()[0],
                        x.shape()[2], shape.planes(), x.shape()[3]};
  for (In view : {In(dx), x, weight}) CheckAligned(view);
  const FlipSlopes slopes{decisions.margin.as<float>().data(), gain.as<float>().data(),
                          shape.binary, tau};
  AddPlaneGradients(ctx, gradients, x, decisions.own_plane, slopes, sizes, /*sign=*/1);
  if (!shape.binary) {
    AddPlaneGradients(ctx, gradients, x, decisions.other_plane, slopes, sizes, /*sign=*/-1);
  }
  const int64_t rows = sizes.B * sizes.n * sizes.x_heads;
  CHECK_LT(rows, std::numeric_limits<int32_t>::max() - kFlipInputRows);
  const FlipPlanes planes{decisions.own_plane.data(), decisions.other_plane.data(),
                          weight.as<float>().data()};
  Launch(ctx, FlipInputKernel, {DivideUp(rows, kFlipInputRows)}, kFlipInputThreads, 0,
         dx.as<BFloat16>().data(), planes, slopes, sizes, static_cast<int>(rows));
}

}  // namespace treeformer
