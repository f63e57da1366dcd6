#pragma once

// Streams, events and NCCL without a GPU: simulated_gpus.cc and simulated_nccl.cc define the
// functions of the CUDA runtime and of NCCL that dist/nccl_communicator.cc calls.  Ranks are
// threads of this process, and "memory of a GPU" is the host's.  Where no stream can go on for 20
// seconds, the process dies.
//
// What is given to a stream is put off, as on a GPU, until somebody asks for a result; then, again
// and again, one stream of any rank whose next piece may run is picked, and the piece carried out.
// A missing wait shows in an order that favours one kind of streams.

#include <cuda_runtime.h>

#include <functional>

namespace treeformer::simulated {

enum class Order { kCommunicationFirst, kComputeFirst, kRandom };

// Forgets all streams and counts, and starts anew.
void Reset(Order order, unsigned seed);

cudaStream_t MakeComputeStream();
void Enqueue(cudaStream_t stream, std::function<void()> work);
// Until all of `stream` is done.
void Synchronize(cudaStream_t stream);

struct Counts {
  int sums = 0;
  int broadcasts = 0;
  int made = 0;       // communicators, by each rank of them
  int destroyed = 0;  // in order
  int aborted = 0;
};
Counts counts();
// From now on NCCL says whether a connection is lost.
void SetConnectionLost(bool lost);

}  // namespace treeformer::simulated
