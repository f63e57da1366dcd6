#pragma once

// Ranks as threads of one process: a cluster for tests, and the one rank of a plain process.  Sums
// are taken in rank order.  Views on the CPU only.
//
// A rank that ends while another waits for it, and ranks whose calls disagree, are fatal: nobody
// stays behind in a collective.

#include <functional>
#include <memory>

#include "dist/communicator.h"

namespace treeformer::dist {

// Runs `work` once per rank, each on its own thread, and joins them.  If ranks threw and nobody
// waited for them, the exception of the lowest rank is thrown again here.
void RunLocalRanks(int size, const std::function<void(Communicator&)>& work);

// Rank 0 of 1.
std::unique_ptr<Communicator> MakeSingleRank();

}  // namespace treeformer::dist
