#pragma once

// How many pairs of query and key attention inside leaves needs, and how many scores the GPU's
// forward kernel computes for them (kernels/tree/tf/tf_tiles.cuh): a block owns 64 queries in the
// order of the leaves, a warp 16 of them; keys come in slices of 16 from the first key that any of
// the block's queries sees; a warp computes every slice between the first and the last key that any
// of its queries sees.

#include <cstdint>
#include <vector>

namespace treeformer::bench {

struct TilePairs {
  int64_t useful = 0, computed = 0;

  TilePairs& operator+=(const TilePairs& other) {
    useful += other.useful;
    computed += other.computed;
    return *this;
  }
};

// Counts for one head of one sequence without documents or padding; rows per leaf, [L] each.
TilePairs CountTilePairs(const std::vector<int32_t>& queries, const std::vector<int32_t>& keys);

}  // namespace treeformer::bench
