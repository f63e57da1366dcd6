#pragma once

// The sort of buckets.h for launchers of other kernels.

#include "kernels/tree/buckets/buckets.h"

namespace treeformer::cuda {

// As SortByLeaf; document may be null: all rows are of one document.
void SortRows(Context& ctx, View<int32_t> order, Ids leaf, Ids document, int64_t leaves);

}  // namespace treeformer::cuda
