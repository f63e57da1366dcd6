#pragma once

// The dropout choices of one row of attention, vectorised; the same bits as Dropout::Keeps.

#include "kernels/base/random.h"

namespace treeformer::cpu {

constexpr int64_t kMaxKeepRow = 256;

// keep[c] = 1 / (1 - rate) or 0 (dropped) for the elements row_index + position[c], c < columns
// <= kMaxKeepRow.  Neighbouring positions are four times cheaper than scattered ones.
void KeepRow(float* keep, const Dropout& dropout, uint64_t row_index, const int32_t* position,
             int64_t columns);

}  // namespace treeformer::cpu
