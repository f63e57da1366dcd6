#include "launcher/run/memory_check.h"

#include <cmath>

#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

constexpr double kMiB = 1 << 20;

TEST(HostMemory, IsThatOfTheMachineWhereNoCgroupLimitsIt) {
  const TemporaryFolder root;
  root.Write(
      "proc/meminfo",
      "MemTotal:       4096 kB\nMemFree: 10 kB\nMemAvailable:    3072 kB\nSwapTotal: 1024 kB\n");
  root.Write("proc/self/cgroup", "0::/a/b\n");
  root.Write("sys/fs/cgroup/a/b/memory.max", "max\n");
  const HostMemory memory = ReadHostMemory(root.path());
  EXPECT_EQ(memory.limit, 5 * kMiB);
  EXPECT_EQ(memory.available, 3 * kMiB);
}

TEST(HostMemory, IsWhatTheCgroupOrOneAboveItGrants) {
  const TemporaryFolder root;
  root.Write("proc/meminfo", "MemTotal: 4096 kB\nMemAvailable: 3072 kB\nSwapTotal: 0 kB\n");
  root.Write("proc/self/cgroup", "0::/a/b\n");
  root.Write("sys/fs/cgroup/a/b/memory.max", "2097152\n");
  EXPECT_EQ(ReadHostMemory(root.path()).limit, 2 * kMiB);
  root.Write("sys/fs/cgroup/a/memory.max", "1048576\n");
  EXPECT_EQ(ReadHostMemory(root.path()).limit, 1 * kMiB);
  EXPECT_EQ(ReadHostMemory(root.path()).available, 1 * kMiB);
  root.Write("sys/fs/cgroup/memory.max", "524288\n");
  EXPECT_EQ(ReadHostMemory(root.path()).available, kMiB / 2);
}

TEST(HostMemory, IsWhatTheMemoryControllerOfVersionOneGrants) {
  const TemporaryFolder root;
  root.Write("proc/meminfo", "MemTotal: 4096 kB\nMemAvailable: 3072 kB\nSwapTotal: 0 kB\n");
  root.Write("proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/job\n1:name=systemd:/y\n");
  root.Write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1048576\n");
  EXPECT_EQ(ReadHostMemory(root.path()).limit, kMiB);
}

TEST(HostMemory, IsUnlimitedWhereTheSystemDoesNotTell) {
  EXPECT_TRUE(std::isinf(ReadHostMemory(TemporaryFolder().path()).limit));
}

TEST(LargestStage, IsFoundWhereverItStands) {
  const BatchShape one{1, 32, 5};
  const config::RunConfig grows = SmallRun("bootstrap.attention.height=10");
  EXPECT_EQ(LargestStage(MakeBootstrapPlan(grows, 300), one, DType::kFloat32).index, 10);
  const config::RunConfig full = SmallRun("bootstrap.tree_steps=0");
  const StageMemory only = LargestStage(MakeBootstrapPlan(full, 300), one, DType::kFloat32);
  EXPECT_EQ(only.index, 0);
  EXPECT_GT(only.cost.Total(), 0);
}

// 8.6 TB: 16 bytes a parameter, 5 x 10^8 of them in each of 1,000 layers.
constexpr const char* kHuge =
    "model.layers=1000,model.feed_forward=4194304,model.width=64,training.batch_size=1,"
    "bootstrap.attention=,bootstrap.tree_steps=0";

TEST(RequireMemory, RefusesAtTheStartWhatNoMachineHas) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(Train(SmallRun(kHuge), folder.path()),
                 "on each of this machine's 1 rank, and it has");
  EXPECT_FALSE(std::filesystem::exists(folder.File("data/training.tokens")));
}

TEST(RequireMemory, RefusesAtTheStartWhatTheGpuHasNotFree) {
  if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  const TemporaryFolder folder;
  EXPECT_REFUSED(Train(SmallRun(kHuge), folder.path(), /*ranks=*/1, {Device::kCuda, false}),
                 "and of the GPU's memory are free");
  EXPECT_FALSE(std::filesystem::exists(folder.File("data/training.tokens")));
}

TEST(RequireMemory, LetsPassWhatFits) {
  dist::RunLocalRanks(2, [](dist::Communicator& communicator) {
    Context ctx = Context::Cpu();
    Progress progress(/*speaks=*/false);
    EXPECT_NO_THROW(RequireMemory(ctx, communicator, MakeBootstrapPlan(SmallRun(), 300),
                                  {4, 32, 20}, progress));
  });
}

}  // namespace

}  // namespace treeformer
