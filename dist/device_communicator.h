#pragma once

// DeviceCommunicator: `base` for host values and for buffers in host memory, something faster for
// buffers on a GPU.  Host memory is taken as the host sees it: a caller that lets a GPU write
// there waits for that first.  Messages in host memory and messages on GPUs meet apart from each
// other.

#include <memory>

#include "dist/communicator.h"

namespace treeformer::dist {

class DeviceCommunicator : public Communicator {
 public:
  // `base` must outlive it.
  explicit DeviceCommunicator(Communicator& base) : Communicator(base), base_(base) {}
  explicit DeviceCommunicator(std::unique_ptr<Communicator> base)
      : Communicator(*base), owned_(std::move(base)), base_(*owned_) {}

 protected:
  Communicator& base() { return base_; }

 private:
  std::unique_ptr<Operation> DoStart(const Call& call, cudaStream_t stream) final;
  std::unique_ptr<Communicator> DoSplit(int colour, int key, const std::string& name) final;

  virtual std::unique_ptr<Operation> StartOnGpu(const Call& call, cudaStream_t stream) = 0;
  // The same as this, over the ranks of `part`.
  virtual std::unique_ptr<Communicator> Over(std::unique_ptr<Communicator> part) = 0;

  const std::unique_ptr<Communicator> owned_;
  Communicator& base_;
};

// The communicator for work in `ctx`: NCCL's where several ranks have a GPU each; for one rank the
// buffers on its GPU are its own; on the CPU everything goes to `base`.  Collective.  `base` and
// `ctx` must outlive it.  UserError where several ranks have GPUs and this build no NCCL.
std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& base, Context& ctx);

}  // namespace treeformer::dist
