#include "kernels/tree/buckets/window.h"

#include "kernels/runtime/dispatch.h"

namespace treeformer {

void NarrowRanges(Context& ctx, View<int32_t> range, Ids order, Ids other_order, int64_t reach) {
  const Shape& rows = order.shape();
  CHECK_EQ(range.shape(), (Shape{rows[0], rows[1], rows[2], 2}));
  CHECK_EQ(other_order.shape(), rows);
  CHECK_GE(reach, 0);
  if (order.count() == 0) return;
  DISPATCH_IDS(ctx, NarrowRanges, range, order, other_order, reach);
}

}  // namespace treeformer
