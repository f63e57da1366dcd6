#pragma once

// The matching toy: one head alone.  n = 64 keys x_j ~ N(0, I) of width e = 16 with random values;
// query i is R x_pi(i) + noise for a fixed rotation R and a random permutation pi; the target of
// query i is the value of key pi(i).  Learned: W^Q, W^K and the tree.  To solve it the projections
// must undo R, and the tree must send a query and its key to the same leaf.

#include "launcher/bench/router/task_training.h"

namespace treeformer::bench {

// loss: mean square error per element (1: no better than 0); accuracy: recall, the share of queries
// whose key is in their leaf.
TaskResult RunMatchingToy(const AttentionConfig& attention, int64_t steps, uint64_t seed,
                          const std::function<void(int64_t)>& progress);

}  // namespace treeformer::bench
