#include "kernels/tree/buckets/buckets.h"

#include "kernels/runtime/dispatch.h"

namespace treeformer {

void SortByLeaf(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
  CHECK_EQ(order.shape(), leaf.shape());
  CHECK_EQ(document.shape(), (Shape{leaf.shape()[0], leaf.shape()[2]}));
  CHECK_GT(leaves, 0);
  if (leaf.count() == 0) return;
  DISPATCH_IDS(ctx, SortByLeaf, order, leaf, document, leaves);
}

void MatchRanges(Context& ctx, View<int32_t> range, const RowsByLeaf& rows,
                 const RowsByLeaf& others) {
  const Shape& leaf = rows.leaf.shape();
  CHECK_EQ(range.shape(), (Shape{leaf[0], leaf[1], leaf[2], 2}));
  for (const RowsByLeaf* side : {&rows, &others}) {
    const int64_t n = side->leaf.shape()[2];
    CHECK_EQ(side->leaf.shape(), (Shape{leaf[0], leaf[1], n}));
    CHECK_EQ(side->order.shape(), side->leaf.shape());
    CHECK_EQ(side->document.shape(), (Shape{leaf[0], n}));
  }
  if (leaf.count() == 0) return;
  DISPATCH_IDS(ctx, MatchRanges, range, rows, others);
}

void CountLeaves(Context& ctx, View<int32_t> count, Ids leaf) {
  CHECK_EQ(count.shape().rank(), 3);
  CHECK_EQ(leaf.shape().rank(), 3);
  CHECK_EQ(count.shape()[0], leaf.shape()[0]);
  CHECK_EQ(count.shape()[1], leaf.shape()[1]);
  if (count.count() == 0) return;
  DISPATCH_IDS(ctx, CountLeaves, count, leaf);
}

}  // namespace treeformer
