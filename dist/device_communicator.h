#pragma once

// DeviceCommunicator: `base` for host values and for buffers in host memory, something faster for
// buffers on a GPU.  Host memory is taken as the host sees it: who lets a GPU write there waits
// for that first.

#include <memory>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

class DeviceCommunicator : public Communicator {
 public:
  explicit DeviceCommunicator(Communicator& base) : base_(base) {}

  int rank() const final { return base_.rank(); }
  int size() const final { return base_.size(); }
  int local_rank() const final { return base_.local_rank(); }
  int local_size() const final { return base_.local_size(); }

  void Barrier() final { base_.Barrier(); }
  void AllReduceSum(Out data, cudaStream_t stream) final;
  std::unique_ptr<Request> StartAllReduceSum(Out data, cudaStream_t stream) final;
  void Broadcast(Out data, int root, cudaStream_t stream) final;
  std::vector<double> AllGather(std::span<const double> values) final {
    return base_.AllGather(values);
  }

 private:
  virtual std::unique_ptr<Request> StartSumOnGpu(Out data, cudaStream_t stream) = 0;
  virtual void BroadcastOnGpu(Out data, int root, cudaStream_t stream) = 0;

  Communicator& base_;
};

// The communicator for work in `ctx`: NCCL's where several ranks have a GPU each; for one rank
// buffers on its GPU are left as they are; on the CPU everything goes to `base`.  Collective.
// `base` and `ctx` must outlive it.  UserError where several ranks have GPUs and this build no
// NCCL.
std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& base, const Context& ctx);

}  // namespace treeformer::dist
