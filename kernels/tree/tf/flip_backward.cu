#include "kernels/cuda/launch.h"
#include "kernels/tree/buckets/sort.h"
#include "kernels/tree/tf/flip_kernels.cuh"

namespace treeformer::cuda {
namespace {

// dweight, dbias: the slopes of one of the planes of every decision.
void AddPlaneGradients(Context& ctx, Acc dweight, Acc dbias, In x, Ids plane,
                       const FlipSlopes& slopes, const FlipSizes& sizes, float sign) {
  Scratch::Scope scope(ctx.scratch());
  const View<int32_t> order = scope.Take<int32_t>(plane.shape());
  const View<float> partial =
      scope.Take<float>({sizes.B, sizes.heads, sizes.runs(), sizes.columns + 1});
  SortRows(ctx, order, plane, /*document=*/{}, sizes.planes);
  Launch(ctx, FlipPartialsKernel, {DivideUp(sizes.warps(), kFlipWarps)}, kFlipThreads, 0,
         partial.data(), order.data(), plane.data(), slopes, x.as<BFloat16>().data(), sizes, sign);
  Launch(ctx, FlipReduceKernel, {sizes.heads * sizes.planes}, kFlipReduceThreads,
         kFlipReduceThreads * sizeof(SlotRange), dweight.as<float>().data(),
         dbias.as<float>().data(), partial.data(), order.data(), plane.data(), sizes);
}

}  // namespace

void FlipBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In gain, In x, In weight,
                  const FlipDecisions& decisions, const TreeShape& shape, float tau) {
  const FlipSizes sizes{x.shape()[0], x.shape()[1],   weight.shape()[0],
                        x.shape()[2], shape.planes(), x.shape()[3]};
  for (In view : {In(dx), x, weight}) CheckAligned(view);
  const FlipSlopes slopes{decisions.margin.as<float>().data(), gain.as<float>().data(),
                          shape.binary, tau};
  AddPlaneGradients(ctx, dweight, dbias, x, decisions.own_plane, slopes, sizes, /*sign=*/1);
  if (!shape.binary) {
    AddPlaneGradients(ctx, dweight, dbias, x, decisions.other_plane, slopes, sizes, /*sign=*/-1);
  }
  const int64_t rows = sizes.B * sizes.n * sizes.x_heads;
  CHECK_LT(rows, std::numeric_limits<int32_t>::max() - kFlipInputRows);
  const FlipPlanes planes{decisions.own_plane.data(), decisions.other_plane.data(),
                          weight.as<float>().data()};
  Launch(ctx, FlipInputKernel, {DivideUp(rows, kFlipInputRows)}, kFlipInputThreads, 0,
         dx.as<BFloat16>().data(), planes, slopes, sizes, static_cast<int>(rows));
}

}  // namespace treeformer::cuda
