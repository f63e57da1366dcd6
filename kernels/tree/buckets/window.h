#pragma once

// A window on buckets: of the rows that a row meets, those near it in the sequence.
//
//   range [B, H, n, 2]   of MatchRanges, for slots of `order`, in slots of `other_order`
//   keeps the slots whose position j has |i - j| <= reach, i the position of the range's own slot;
//   [0, 0) when there is none
// Positions ascend inside a bucket, so what is left is a range.  Ranges of neighbouring slots then
// overlap, and ascend: neither their begins nor their ends step back.

#include "kernels/tree/buckets/buckets.h"

namespace treeformer {

void NarrowRanges(Context& ctx, View<int32_t> range, Ids order, Ids other_order, int64_t reach);
DECLARE_BACK_ENDS_OF_IDS(NarrowRanges)

}  // namespace treeformer
