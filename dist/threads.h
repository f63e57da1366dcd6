#pragma once

// How many threads a rank computes with.

#include <vector>

#include "dist/communicator.h"

namespace dist {

// Cores for this rank: those it may run on, shared evenly with the ranks of its machine that may
// run on the very same ones; at least 1.  `sharers` counts those ranks, itself included.
int ThreadsPerRank(int cores, int sharers);

// Sets the OpenMP threads of the calling thread accordingly and returns their number; an
// OMP_NUM_THREADS in the environment is left to rule.  Collective.
int ConfigureThreads(Communicator& communicator);

}  // namespace dist
