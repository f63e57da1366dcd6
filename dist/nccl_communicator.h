#pragma once

// Ranks as processes with a GPU each, which NCCL connects.  Views on the GPU: float32, float64,
// bfloat16, int32; all ranks get the same bits.  Views in host memory go to the base communicator.
//
// NCCL works on a stream of its own, so that gradients are summed while the backward pass runs.
// Two events tie it to the caller's stream, and the host waits for neither:
//
//   caller's stream   ... write data | record ready          wait for done | read data ...
//   NCCL's stream                      wait for ready | sum | record done
//
// Request::Wait() is `wait for done` on the stream that the sum was started with; Test() asks on
// the host (an event query, a few microseconds).  Both look whether NCCL has met an error since,
// such as a lost connection: fatal, which takes the job down.

#include <memory>

#include "dist/communicator.h"

namespace treeformer::dist {

// Over the ranks of `base`, on the current device of this thread, which stays this rank's.
// Collective.  `base` must outlive it.  A build without NCCL throws UserError: no_nccl.cc.
std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& base);

}  // namespace treeformer::dist
