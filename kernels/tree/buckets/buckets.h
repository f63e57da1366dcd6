#pragma once

// Buckets: rows sorted by (document, leaf), and for every sorted row the contiguous range of rows
// of the other side that share its document and leaf.  A "slot" is a place in the sorted order.
// Full attention is the tree with one leaf: the same buckets, the same kernels.
//
//   leaf [B, H, n] (-1: padding)     document [B, n] (negative: padding)     order [B, H, n]

#include "kernels/tree/route/route.h"

namespace treeformer {

// order[b, h, slot] = position.  Stable: positions ascend inside a (document, leaf); padding last.
void SortByLeaf(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves);
DECLARE_BACK_ENDS_OF_IDS(SortByLeaf)

// Rows and their order by SortByLeaf.
struct RowsByLeaf {
  Ids order, leaf;  // [B, H, n]
  Ids document;     // [B, n]
};

// range [B, H, n, 2]: for slot s of `rows` the slots [begin, end) of `others` of the same document
// and leaf; [0, 0) when there is none, and for padding.  Both have their own number of rows.
void MatchRanges(Context& ctx, View<int32_t> range, const RowsByLeaf& rows,
                 const RowsByLeaf& others);
DECLARE_BACK_ENDS_OF_IDS(MatchRanges)

// count [B, H, L] += rows per leaf.
void CountLeaves(Context& ctx, View<int32_t> count, Ids leaf);
DECLARE_BACK_ENDS_OF_IDS(CountLeaves)

// What attention reads.  key_range by query slot, query_range by key slot.
struct Buckets {
  Ids query_order, key_order;  // [B, H, n], each with its own n
  Ids key_range, query_range;  // [B, H, n, 2] of queries, of keys
};

}  // namespace treeformer
