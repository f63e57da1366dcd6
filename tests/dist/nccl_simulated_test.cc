// dist/nccl_communicator.cc itself, over simulated streams and a simulated NCCL: that the sums are
// right in every order which the events allow.  NCCL proper: nccl_communicator_test.cc.

#include <cstring>

#include "dist/local_communicator.h"
#include "dist/nccl_communicator.h"
#include "kernels/base/user_error.h"
#include "tests/dist/gpu_collectives.h"
#include "tests/dist/simulated_gpus.h"

namespace treeformer::dist {
namespace {

using simulated::Order;

class SimulatedGpu : public testing_util::Memory {
 public:
  cudaStream_t stream() override { return stream_; }
  Out Allocate(DType dtype, int64_t count) override {
    const Out host = buffers_.emplace_back(Device::kCpu, dtype, Shape{count});
    return Out(host.data(), dtype, host.shape(), Device::kCuda);
  }
  void Write(Out data, In host) override {
    const auto* bytes = static_cast<const char*>(host.data());
    simulated::Enqueue(stream_, [data, copy = std::vector<char>(bytes, bytes + host.bytes())] {
      if (!copy.empty()) std::memcpy(data.data(), copy.data(), copy.size());
    });
  }
  void Read(Out host, In data) override {
    simulated::Enqueue(stream_, [host, data] {
      if (host.count() > 0) std::memcpy(host.data(), data.data(), host.bytes());
    });
    simulated::Synchronize(stream_);
  }

 private:
  const cudaStream_t stream_ = simulated::MakeComputeStream();
  std::vector<Buffer> buffers_;
};

class NcclSimulated : public testing::TestWithParam<Order> {};

TEST_P(NcclSimulated, EveryCallIsExactAndInTheOrderOfTheStream) {
  for (int size : {1, 2, 3, 5}) {
    simulated::Reset(GetParam(), /*seed=*/size);
    RunLocalRanks(size, [](Communicator& base) {
      SimulatedGpu gpu;
      const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(base);
      EXPECT_EQ(comm->rank(), base.rank());
      EXPECT_EQ(comm->size(), base.size());
      testing_util::CheckGpuCollectives(*comm, gpu);
    });
    EXPECT_EQ(simulated::counts().destroyed, simulated::counts().made);
    EXPECT_EQ(simulated::counts().aborted, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, NcclSimulated,
                         testing::Values(Order::kCommunicationFirst, Order::kComputeFirst,
                                         Order::kRandom));

TEST(NcclSimulated, StartingASumDoesNotWaitForAnything) {
  simulated::Reset(Order::kRandom, 1);
  const std::unique_ptr<Communicator> base = MakeSingleRank();
  SimulatedGpu gpu;
  const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(*base);
  const testing_util::Array<float> x(gpu, 7, /*rank=*/0);
  auto request = comm->StartAllReduceSum(x.view(), gpu.stream());
  request.Wait();
  comm->AllReduceSum(x.view(), gpu.stream());
  EXPECT_EQ(simulated::counts().sums, 0);
  simulated::Synchronize(gpu.stream());
  EXPECT_EQ(simulated::counts().sums, 2);
}

TEST(NcclSimulated, HostBuffersDoNotReachNccl) {
  simulated::Reset(Order::kRandom, 1);
  RunLocalRanks(
      2, [](Communicator& base) { testing_util::CheckCollectives(*MakeNcclCommunicator(base)); });
  EXPECT_EQ(simulated::counts().sums + simulated::counts().broadcasts, 0);
}

TEST(NcclSimulated, RanksThatSendNoMessagesHaveOneCommunicator) {
  simulated::Reset(Order::kRandom, 1);
  RunLocalRanks(3, [](Communicator& base) {
    SimulatedGpu gpu;
    const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(base);
    const testing_util::Array<float> x(gpu, 7, base.rank());
    comm->AllReduceSum(x.view(), gpu.stream());
    x.ExpectSum(3, "a sum");
  });
  EXPECT_EQ(simulated::counts().made, 3);
}

// Ranks that are not neighbours, and do not connect beforehand.
TEST(NcclSimulated, TheFirstMessageConnectsTwoRanks) {
  simulated::Reset(Order::kRandom, 1);
  RunLocalRanks(3, [](Communicator& base) {
    SimulatedGpu gpu;
    const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(base);
    testing_util::CheckBlockingMessagesOf<float>(*comm, gpu);
  });
  EXPECT_EQ(simulated::counts().made, 3 + 2 * 2);
}

TEST(NcclSimulated, ARankThatFailsAbortsForOthersDoNotComeToAnOrderlyEnd) {
  simulated::Reset(Order::kRandom, 1);
  const std::unique_ptr<Communicator> base = MakeSingleRank();
  try {
    const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(*base);
    throw UserError("no such file");
  } catch (const UserError&) {
  }
  EXPECT_EQ(simulated::counts().aborted, 1);
  EXPECT_EQ(simulated::counts().destroyed, 0);
}

TEST(NcclSimulatedDeathTest, ALostConnectionKillsARankThatTestsOrWaitsOrGivesUp) {
  simulated::Reset(Order::kRandom, 1);
  const std::unique_ptr<Communicator> base = MakeSingleRank();
  SimulatedGpu gpu;
  const std::unique_ptr<Communicator> comm = MakeNcclCommunicator(*base);
  const testing_util::Array<float> x(gpu, 7, /*rank=*/0);
  auto request = comm->StartAllReduceSum(x.view(), gpu.stream());
  simulated::SetConnectionLost(true);
  EXPECT_DEATH(request.Test(), "NCCL, during a collective: .*the connection is lost");
  EXPECT_DEATH(request.Wait(), "NCCL, during a collective: .*the connection is lost");
  EXPECT_DEATH(Request(std::move(request)), "NCCL, during a collective: .*the connection is lost");
  simulated::SetConnectionLost(false);
}

}  // namespace
}  // namespace treeformer::dist
