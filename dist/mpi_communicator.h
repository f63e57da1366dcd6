#pragma once

// Ranks as processes under MPI.  Views on the CPU only.  Sums are taken in an order that MPI fixes
// by count and number of ranks; all ranks get the same bits.  A buffer with a part for each rank
// (reduce-scatter, all-gather, all-to-all) has at most 2^30 elements.

#include <memory>
#include <string>

#include "dist/communicator.h"

namespace treeformer::dist {

// Over all processes of the job; collective.  MPI must have been started, and must outlive it.
std::unique_ptr<Communicator> MakeMpiCommunicator();

// MPI's words for an error code; for MPI_CHECK.
std::string MpiErrorString(int code);

}  // namespace treeformer::dist
