#include "dist/device_communicator.h"

#include "dist/nccl_communicator.h"

namespace treeformer::dist {
namespace {

bool OnHost(Out data) { return data.device() == Device::kCpu; }

class NothingToDo : public Request {
 public:
  bool Test() override { return true; }
  void Wait() override {}
};

// What one rank holds is the sum, and what its root sends.
class OneGpuCommunicator : public DeviceCommunicator {
 public:
  using DeviceCommunicator::DeviceCommunicator;

 private:
  std::unique_ptr<Request> StartSumOnGpu(Out, cudaStream_t) override {
    CHECK_EQ(size(), 1) << "ranks that work on the CPU sum a buffer on a GPU";
    return std::make_unique<NothingToDo>();
  }
  void BroadcastOnGpu(Out, int root, cudaStream_t) override {
    CHECK_EQ(size(), 1) << "ranks that work on the CPU broadcast a buffer on a GPU";
    CHECK_EQ(root, 0);
  }
};

}  // namespace

void DeviceCommunicator::AllReduceSum(Out data, cudaStream_t stream) {
  if (OnHost(data)) return base_.AllReduceSum(data, stream);
  StartSumOnGpu(data, stream)->Wait();
}

std::unique_ptr<Request> DeviceCommunicator::StartAllReduceSum(Out data, cudaStream_t stream) {
  if (OnHost(data)) return base_.StartAllReduceSum(data, stream);
  return StartSumOnGpu(data, stream);
}

void DeviceCommunicator::Broadcast(Out data, int root, cudaStream_t stream) {
  if (OnHost(data)) return base_.Broadcast(data, root, stream);
  BroadcastOnGpu(data, root, stream);
}

std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& base, const Context& ctx) {
  if (ctx.device() == Device::kCuda && base.size() > 1) return MakeNcclCommunicator(base);
  return std::make_unique<OneGpuCommunicator>(base);
}

}  // namespace treeformer::dist
