// The communicator of a context, without NCCL.

#include "dist/device_communicator.h"

#include "dist/local_communicator.h"
#include "kernels/base/user_error.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

TEST(DeviceCommunicator, OnTheCpuItDoesWhatItsBaseDoes) {
  Context ctx = Context::Cpu();
  for (int size : {1, 2, 3}) {
    RunLocalRanks(size, [&](Communicator& base) {
      const std::unique_ptr<Communicator> comm = MakeDeviceCommunicator(base, ctx);
      EXPECT_EQ(comm->rank(), base.rank());
      EXPECT_EQ(comm->size(), size);
      EXPECT_EQ(comm->local_rank(), base.local_rank());
      EXPECT_EQ(comm->local_size(), base.local_size());
      testing_util::CheckCollectives(*comm);
      testing_util::CheckSameBitsOnAllRanks(*comm);
    });
  }
}

// An address that faults when it is touched, as a GPU's does.
Out OnGpu() { return Out(reinterpret_cast<void*>(64), DType::kFloat32, {7}, Device::kCuda); }

TEST(DeviceCommunicator, OneRankLeavesBuffersOnItsGpuAlone) {
  const std::unique_ptr<Communicator> base = MakeSingleRank();
  Context ctx = Context::Cpu();
  const std::unique_ptr<Communicator> comm = MakeDeviceCommunicator(*base, ctx);
  comm->AllReduceSum(OnGpu(), nullptr);
  comm->Broadcast(OnGpu(), /*root=*/0, nullptr);
  Request request = comm->StartAllReduceSum(OnGpu(), nullptr);
  EXPECT_TRUE(request.Test());
  request.Wait();
  comm->AllGather(OnGpu(), OnGpu(), nullptr);
  comm->ReduceScatterSum(OnGpu(), OnGpu(), nullptr);
}

class MemoryOfContext : public testing_util::Memory {
 public:
  explicit MemoryOfContext(Context& ctx) : ctx_(ctx) {}

  cudaStream_t stream() override { return ctx_.stream(); }
  Out Allocate(DType dtype, int64_t count) override {
    return buffers_.emplace_back(ctx_.device(), dtype, Shape{count});
  }
  void Write(Out data, In host) override { Copy(ctx_, data, host); }
  void Read(Out host, In data) override {
    Copy(ctx_, host, data);
    ctx_.Synchronize();
  }

 private:
  Context& ctx_;
  std::vector<Buffer> buffers_;
};

TEST(DeviceCommunicatorGpu, OneRankMovesPartsOnItsGpu) {
  if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  Context ctx = Context::Cuda(/*index=*/0);
  const std::unique_ptr<Communicator> base = MakeSingleRank();
  const std::unique_ptr<Communicator> comm = MakeDeviceCommunicator(*base, ctx);
  MemoryOfContext memory(ctx);
  testing_util::CheckCalls(*comm, memory);
}

TEST(DeviceCommunicatorDeathTest, RanksOnTheCpuDoNotSumBuffersOnAGpu) {
  EXPECT_DEATH(RunLocalRanks(2,
                             [](Communicator& base) {
                               Context ctx = Context::Cpu();
                               MakeDeviceCommunicator(base, ctx)->AllReduceSum(OnGpu(), nullptr);
                             }),
               "ranks that work on the CPU call all-reduce of 7 float32 on a GPU");
}

}  // namespace
}  // namespace treeformer::dist
