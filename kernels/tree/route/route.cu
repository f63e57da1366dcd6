#include "kernels/cuda/launch.h"
#include "kernels/tree/route/route_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

template <int kTiles>
void LaunchRoute(Context& ctx, const RouteOutputs& out, const RouterOperands& router,
                 const BFloat16* rounded, Ids document, const RouteSizes& sizes,
                 const FlipRule& rule) {
  const int shared_bytes = RouteSharedBytes(sizes.product_planes);
  const int64_t blocks = int64_t{DivideUp(sizes.rows, kRouteRows)} * sizes.heads;
  Launch(ctx, RouteKernel<kTiles>, {blocks}, kRouteThreads, shared_bytes, out,
         router.x.as<BFloat16>().data(), rounded, router.bias.as<float>().data(), document.data(),
         TreeWalk(router.shape), sizes, rule);
}

}  // namespace
}  // namespace cuda

void cuda::Route(Context& ctx, const Routing& routing, const RouterOperands& router, Ids document,
                 const FlipRule& rule) {
  const In x = router.x, weight = router.weight;
  const int64_t B = x.shape()[0], n = x.shape()[1];
  CHECK_LT(B * n, std::numeric_limits<int32_t>::max());
  CheckAligned(x);
  const RouteSizes sizes(B, n, weight.shape()[0], x.shape()[2], x.shape()[3], router.shape);
  const int64_t count = sizes.heads * sizes.rounded_count();
  Scratch::Scope scope(ctx.scratch());
  const View<BFloat16> rounded = scope.Take<BFloat16>({count});
  if (count > 0) {
    Launch(ctx, RoundPlanesKernel, {DivideUp(count, kRoundThreads * 8)}, kRoundThreads, 0,
           rounded.data(), weight.as<float>().data(), sizes);
  }
  const RouteOutputs out{routing.leaf.data(),        routing.strength.as<float>().data(),
                         routing.alternative.data(), routing.own_plane.data(),
                         routing.other_plane.data(), routing.margin.as<float>().data()};
  const auto launch = [&](const auto& tiles) {
    LaunchRoute<tiles.value>(ctx, out, router, rounded.data(), document, sizes, rule);
  };
  switch (RouteTiles(sizes.product_planes)) {
    case 1:
      return launch(std::integral_constant<int, 1>());
    case 2:
      return launch(std::integral_constant<int, 2>());
    case 4:
      return launch(std::integral_constant<int, 4>());
    default:
      return launch(std::integral_constant<int, 8>());
  }
}

}  // namespace treeformer
