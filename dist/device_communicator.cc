#include "dist/device_communicator.h"

#include <utility>

#include "dist/nccl_communicator.h"

namespace treeformer::dist {
namespace {

// What one rank holds is the sum, and what its root sends.
class OneGpuCommunicator : public DeviceCommunicator {
 public:
  template <typename Base>
  OneGpuCommunicator(Base&& base, Context& ctx)
      : DeviceCommunicator(std::forward<Base>(base)), ctx_(ctx) {}

 private:
  std::unique_ptr<Operation> StartOnGpu(const Call& call, cudaStream_t stream) override {
    CHECK_EQ(size(), 1) << "ranks that work on the CPU call " << call.summary() << " on a GPU";
    if (call.in && call.in.data() != call.out.data()) {
      CHECK_EQ(stream, ctx_.stream()) << call.summary();
      Copy(ctx_, call.out, call.in);
    }
    return nullptr;
  }
  std::unique_ptr<Communicator> Over(std::unique_ptr<Communicator> part) override {
    return std::make_unique<OneGpuCommunicator>(std::move(part), ctx_);
  }

  Context& ctx_;
};

}  // namespace

std::unique_ptr<Operation> DeviceCommunicator::DoStart(const Call& call, cudaStream_t stream) {
  if (call.device() == Device::kCpu) return StartOn(base_, call, stream);
  return StartOnGpu(call, stream);
}

std::unique_ptr<Communicator> DeviceCommunicator::DoSplit(int colour, int key,
                                                          const std::string& name) {
  std::unique_ptr<Communicator> part = SplitOn(base_, colour, key, name);
  return part ? Over(std::move(part)) : nullptr;
}

std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& base, Context& ctx) {
  if (ctx.device() == Device::kCuda && base.size() > 1) return MakeNcclCommunicator(base);
  return std::make_unique<OneGpuCommunicator>(base, ctx);
}

}  // namespace treeformer::dist
