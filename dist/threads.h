#pragma once

// How many threads a rank computes with.

#include <optional>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

// Cores for this rank: those it may run on, shared evenly with the ranks of its machine that may
// run on the very same ones, and no more than its share of the CPU quota, which all ranks of the
// machine have together; at least 1.  `sharers` and `local_ranks` count this rank too.
int ThreadsPerRank(int cores, int sharers, std::optional<int> quota = std::nullopt,
                   int local_ranks = 1);

// Sets the OpenMP threads of the calling thread accordingly and returns their number; an
// OMP_NUM_THREADS in the environment is left to rule.  Collective.
int ConfigureThreads(Communicator& communicator);

}  // namespace treeformer::dist
