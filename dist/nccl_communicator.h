#pragma once

// Ranks as processes with a GPU each, which NCCL connects.  Views on the GPU: float32, float64,
// bfloat16, int32; all ranks get the same bits.  Views in host memory go to the base communicator.
//
// NCCL works on streams of its own, so that gradients are summed while the backward pass runs.  Two
// events tie such a stream to the caller's, and the host waits for neither:
//
//   caller's stream   ... write data | record ready          wait for done | read data ...
//   NCCL's stream                      wait for ready | sum | record done
//
// Request::Wait() is `wait for done` on the stream that the call was started with; Test() asks on
// the host (an event query, a few microseconds).  Both look whether NCCL has met an error since,
// such as a lost connection: fatal, which takes the job down.
//
// NCCL carries out the work of one of its communicators in the order in which it was given, and a
// send waits there for its receive.  So each direction between two ranks has a lane of its own, a
// communicator of two and a stream: messages wait for no others than those before them from the
// same rank to the same rank.  The lanes of a pair are made by Connect, or by its first message.
// Collectives have another lane; an all-to-all is one group of sends and receives there.
//
// A group is made by ncclCommInitRank with an id that its ranks agree on over `base`: NCCL has
// ncclCommSplit from 2.18 on only.

#include <memory>

#include "dist/communicator.h"

namespace treeformer::dist {

// Over the ranks of `base`, on the current device of this thread, which stays this rank's.
// Collective.  `base` must outlive it.  A build without NCCL throws UserError: no_nccl.cc.
std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& base);

}  // namespace treeformer::dist
