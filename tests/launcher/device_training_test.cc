// Training on a GPU beside training on the CPU: the same run from the same seed.

#include <gtest/gtest.h>

#include <cmath>

#include "tests/launcher/small_run.h"

namespace {

constexpr DeviceChoice kGpu{Device::kCuda, /*cuda_graphs=*/false};
constexpr DeviceChoice kGpuGraphs{Device::kCuda, /*cuda_graphs=*/true};

// Heads of 32, the smallest that a GPU has; the steps of each stage are few.
treeformer::RunConfig GpuRun(const std::string& overrides) {
  return SmallRun("model.width=64,bootstrap.full_steps=4,bootstrap.tree_steps=4," + overrides);
}

class DeviceTraining : public testing::Test {
 protected:
  void SetUp() override {
    if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  }
};

TEST_F(DeviceTraining, PrintsItsMetrics) {
  const TemporaryFolder cpu, gpu, graphs;
  ASSERT_EQ(Train(GpuRun(""), cpu.path()), 0);
  ASSERT_EQ(Train(GpuRun(""), gpu.path(), /*ranks=*/1, kGpu), 0);
  ASSERT_EQ(Train(GpuRun(""), graphs.path(), /*ranks=*/1, kGpuGraphs), 0);
  std::cerr << cpu.Read("metrics.jsonl") << "\n" << gpu.Read("metrics.jsonl");
  EXPECT_EQ(MetricsOf(graphs), MetricsOf(gpu));
}

}  // namespace
