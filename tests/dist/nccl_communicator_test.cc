// NCCL itself.  Runs under mpirun with a GPU for each rank, and is skipped where there are fewer;
// with one rank it shows the calls, for a sum over one rank changes nothing.  The order of streams
// without a GPU: nccl_simulated_test.cc.

#include "dist/nccl_communicator.h"

#include <optional>

#include "dist/device_communicator.h"
#include "dist/gpu_choice.h"
#include "dist/mpi_session.h"
#include "kernels/base/user_error.h"
#include "tests/dist/gpu_collectives.h"

namespace treeformer::dist {
namespace {

Communicator* g_base = nullptr;  // of the session in main

class CudaGpu : public testing_util::Memory {
 public:
  explicit CudaGpu(Context& ctx)
      : ctx_(ctx), large_(Device::kCuda, DType::kInt32, {int64_t{1} << 24}) {}

  cudaStream_t stream() override { return ctx_.stream(); }
  Out Allocate(DType dtype, int64_t count) override {
    return buffers_.emplace_back(Device::kCuda, dtype, Shape{count});
  }
  // 256 MiB of zeros first, about 0.1 ms, so that the host is ahead of the GPU.
  void Write(Out data, In host) override {
    for (int i = 0; i < 4; ++i) Zero(ctx_, large_);
    Copy(ctx_, data, host);
  }
  void Read(Out host, In data) override {
    Copy(ctx_, host, data);
    ctx_.Synchronize();
  }

 private:
  Context& ctx_;
  const Buffer large_;
  std::vector<Buffer> buffers_;
};

class NcclCommunicator : public testing::Test {
 protected:
  void SetUp() override {
    if (g_base->Max(Context::CudaDeviceCount() == 0) > 0) GTEST_SKIP() << "a rank has no GPU";
    try {
      index_ = ChooseGpu(*g_base);
    } catch (const UserError& error) {  // on every rank
      GTEST_SKIP() << error.what();
    }
    ctx_.emplace(Context::Cuda(index_));
    gpu_.emplace(*ctx_);
  }

  int index_ = -1;
  std::optional<Context> ctx_;
  std::optional<CudaGpu> gpu_;
};

TEST_F(NcclCommunicator, EveryCallIsExactAndInTheOrderOfTheStream) {
  testing_util::CheckGpuCollectives(*MakeNcclCommunicator(*g_base), *gpu_);
}

TEST_F(NcclCommunicator, TheCommunicatorOfAContextDoesTheSameForAnyNumberOfRanks) {
  testing_util::CheckGpuCollectives(*MakeDeviceCommunicator(*g_base, *ctx_), *gpu_);
}

TEST_F(NcclCommunicator, AllRanksHoldTheSameBits) {
  const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(*g_base);
  constexpr int64_t kCount = 1000003;
  std::vector<float> values(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    values[i] = 1.0f / static_cast<float>(1 + (i * 7919 + comm->rank() * 104729) % 10007);
  }
  const Out sum = gpu_->Allocate(DType::kFloat32, kCount);
  gpu_->Write(sum, testing_util::Whole(values));
  comm->AllReduceSum(sum, gpu_->stream());
  gpu_->Read(testing_util::Whole(values), sum);
  comm->Broadcast(sum, /*root=*/0, gpu_->stream());
  std::vector<float> of_root(kCount);
  gpu_->Read(testing_util::Whole(of_root), sum);
  EXPECT_EQ(values, of_root);
}

}  // namespace
}  // namespace treeformer::dist

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  treeformer::dist::MpiSession session;
  session.Start();
  treeformer::dist::g_base = &session.communicator();
  return RUN_ALL_TESTS();
}
