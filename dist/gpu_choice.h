#pragma once

// Which GPU a rank takes: each rank one, no GPU by two ranks.
//
// In the order of ranks, each takes the first GPU that it sees and that no rank before it took.
// Where all ranks of a machine see all of its GPUs, these are their local ranks; where the launcher
// shows each rank a GPU of its own (srun --gpus-per-task=1), all take number 0.  GPUs are told
// apart by UUID, which is unique beyond the machine, so it does not matter how the ranks are laid
// out.
//
// Two ranks with one GPU between them would make NCCL stop, or train at a fraction of the speed:
// refused before anything is done on a GPU, on every rank with the same sentence.

#include <string>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

// What one rank sees.
struct RankGpus {
  std::string host;
  std::vector<std::string> gpus;  // UUIDs, in CUDA's order
};

// [rank] the index of its GPU in its own list.  A rank that sees none gets 0, for Context::Cuda
// knows why there is none.  UserError where a rank finds all that it sees taken.
std::vector<int> ChooseGpus(const std::vector<RankGpus>& ranks);

// The index for Context::Cuda.  Collective.  UserError as above.
int ChooseGpu(Communicator& communicator);
// The same on a machine of the caller's; each rank gives what it sees.
int ChooseGpu(Communicator& communicator, const RankGpus& mine);

}  // namespace treeformer::dist
