// Training on a GPU beside training on the CPU: the same run from the same seed.

#include <gtest/gtest.h>

#include <cmath>

#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

constexpr DeviceChoice kGpu{Device::kCuda, /*cuda_graphs=*/false};
constexpr DeviceChoice kGpuGraphs{Device::kCuda, /*cuda_graphs=*/true};

// Heads of 32, the smallest that a GPU has; the steps of each stage are few.
config::RunConfig GpuRun(const std::string& overrides = "") {
  return SmallRun("model.width=64,bootstrap.full_steps=4,bootstrap.tree_steps=4," + overrides);
}

class DeviceTraining : public testing::Test {
 protected:
  void SetUp() override {
    if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  }
};

// Logits of order one, each reached through about 60 roundings to bfloat16 (2 layers of 28, 6 in
// the head), which add up like random steps.  Trees that route a row near a plane differently
// change the loss by less.
TEST_F(DeviceTraining, LossesAreThoseOfTheCpuWithinRounding) {
  const double rounding = std::sqrt(62.0) * 0x1p-9;
  const TemporaryFolder cpu, gpu;
  ASSERT_EQ(Train(GpuRun(), cpu.path()), 0);
  ASSERT_EQ(Train(GpuRun(), gpu.path(), /*ranks=*/1, kGpu), 0);
  const auto expected = MetricsOf(cpu), metrics = MetricsOf(gpu);
  ASSERT_EQ(metrics.size(), expected.size());
  int losses = 0;
  for (size_t i = 0; i < metrics.size(); ++i) {
    for (const char* text : {"train", "held_out"}) {
      if (!expected[i].contains(text)) continue;
      SCOPED_TRACE(testing::Message() << text << " at step " << expected[i].at("step"));
      const double loss = metrics[i].at(text).at("loss"), of_cpu = expected[i].at(text).at("loss");
      EXPECT_NEAR(loss, of_cpu, rounding);
      ++losses;
    }
  }
  EXPECT_GE(losses, 6);
}

TEST_F(DeviceTraining, StepsAsGraphsAndARunThatWasStoppedHaveTheSameBits) {
  const TemporaryFolder whole, graphs, stopped;
  const std::string micro = "training.micro_batches=2,training.checkpoint_every=3";
  ASSERT_EQ(Train(GpuRun(micro), whole.path(), /*ranks=*/1, kGpu), 0);
  ASSERT_EQ(Train(GpuRun(micro), graphs.path(), /*ranks=*/1, kGpuGraphs), 0);
  EXPECT_EQ(MetricsOf(graphs), MetricsOf(whole));
  CopyRun(whole, stopped, /*step=*/3);
  ASSERT_EQ(Train(GpuRun(micro), stopped.path(), /*ranks=*/1, kGpu), 0);
  EXPECT_EQ(MetricsOf(stopped), MetricsOf(whole));
}

// Stages begin at steps 4 and 6, and the run goes on at step 5: DENSE is due first at step 6.
TEST_F(DeviceTraining, GraphsHoldADenseGradientOfEveryThirdStepAfterAResume) {
  const TemporaryFolder whole, stopped;
  const std::string dense =
      "bootstrap.attention.gradient=DENSE,bootstrap.attention.flip_choice=MIN_MARGIN,"
      "bootstrap.attention.router_interval=3,training.checkpoint_every=5";
  ASSERT_EQ(Train(GpuRun(dense), whole.path(), /*ranks=*/1, kGpu), 0);
  CopyRun(whole, stopped, /*step=*/5);
  ASSERT_EQ(Train(GpuRun(dense), stopped.path(), /*ranks=*/1, kGpuGraphs), 0);
  EXPECT_EQ(MetricsOf(stopped), MetricsOf(whole));
}

TEST_F(DeviceTraining, HeadsThatHaveNoKernelAreRefused) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(Train(GpuRun("model.width=48"), folder.path(), /*ranks=*/1, kGpu),
                 "model.width / model.heads is 24; allowed: 32, 64, 96 or 128 on a GPU");
}

}  // namespace

}  // namespace treeformer
