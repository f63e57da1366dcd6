#include "kernels/cuda/launch.h"
#include "kernels/tree/buckets/window.h"
#include "kernels/tree/buckets/window_kernels.cuh"

namespace treeformer {

void cuda::NarrowRanges(Context& ctx, View<int32_t> range, Ids order, Ids other_order,
                        int64_t reach) {
  const int64_t n = order.shape()[2];
  CHECK_LT(n, std::numeric_limits<int32_t>::max());
  Launch(ctx, NarrowRangesKernel, {DivideUp(order.count(), kWindowThreads)}, kWindowThreads, 0,
         range.data(), order.data(), other_order.data(), reach, n, order.count());
}

}  // namespace treeformer
