// What a step updates, and with which bias correction: steps without a masked position, planes
// that are born in the middle of a run.

#include <gtest/gtest.h>

#include <cmath>

#include "core/checkpoint/safetensors.h"
#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

constexpr DeviceChoice kGpu{Device::kCuda, /*cuda_graphs=*/false};
constexpr DeviceChoice kGpuGraphs{Device::kCuda, /*cuda_graphs=*/true};

// Four lines of five have no word that the vocabulary knows; a global batch is two of them.
class UnknownText : public testing::Test {
 protected:
  UnknownText() {
    std::string words, vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = 0; i < 20; ++i) vocabulary += std::string(1, static_cast<char>('a' + i)) + "\n";
    for (int line = 0; line < 60; ++line) {
      for (int i = 0; i < 6; ++i) {
        words += line % 5 == 0 ? std::string(1, static_cast<char>('a' + (line + i) % 20)) : "zz";
        words += " ";
      }
      words += "\n";
    }
    text_ = input_.Write("text.txt", words);
    vocabulary_ = input_.Write("vocab.txt", vocabulary);
  }

  config::RunConfig Run(const std::string& overrides = "") const {
    return SmallRun("data.stories=,data.text=" + text_ +
                    ",data.document=LINE,data.vocabulary=" + vocabulary_ +
                    ",data.sequence_length=8,data.held_out_fraction=0.3,training.batch_size=2,"
                    "training.checkpoint_every=1,training.keep_checkpoints=99,training.log_every=1,"
                    "training.evaluate_every=0,bootstrap.attention.balance=BIAS,"
                    "bootstrap.attention.balance_weight=0.01," +
                    overrides);
  }
  // By step.
  static std::vector<int> WithoutUpdate(const TemporaryFolder& folder) {
    std::vector<int> steps;
    for (const nlohmann::json& record : MetricsOf(folder)) {
      if (record.contains("train")) steps.push_back(record["train"]["steps_without_update"]);
    }
    return steps;
  }
  static std::string Model(const TemporaryFolder& folder, int64_t step) {
    return folder.Read("checkpoints/step_" + std::to_string(step) + "/model.safetensors");
  }

  TemporaryFolder input_;
  std::string text_, vocabulary_;
};

TEST_F(UnknownText, AStepWithoutAMaskedPositionUpdatesNothingAndIsCounted) {
  const TemporaryFolder folder;
  ASSERT_EQ(Train(Run(), folder.path()), 0);
  const std::vector<int> without = WithoutUpdate(folder);
  ASSERT_EQ(without.size(), 18u);
  int count = 0;
  for (int64_t step = 2; step <= 18; ++step) {
    if (step == 7 || step == 13) continue;  // first steps of a stage: another model
    EXPECT_EQ(Model(folder, step) == Model(folder, step - 1), without[step - 1] == 1) << step;
    count += without[step - 1];
  }
  EXPECT_GT(count, 0);
  EXPECT_LT(count, 15);
  for (const nlohmann::json& record : MetricsOf(folder)) {
    if (!record.contains("train")) continue;
    EXPECT_EQ(record["train"].contains("loss"), record["train"]["steps_without_update"] == 0);
  }
}

TEST_F(UnknownText, RanksAndMicroBatchesAgreeWhichStepsUpdateNothing) {
  const TemporaryFolder one, two, micro;
  ASSERT_EQ(Train(Run(), one.path()), 0);
  ASSERT_EQ(Train(Run(), two.path(), /*ranks=*/2), 0);
  ASSERT_EQ(Train(Run("training.micro_batches=2"), micro.path()), 0);
  EXPECT_EQ(WithoutUpdate(two), WithoutUpdate(one));
  EXPECT_EQ(WithoutUpdate(micro), WithoutUpdate(one));
}

TEST_F(UnknownText, ARunStoppedAtSuchAStepEndsWithTheSameBits) {
  const TemporaryFolder whole;
  ASSERT_EQ(Train(Run(), whole.path()), 0);
  const std::vector<int> without = WithoutUpdate(whole);
  for (int64_t step = 8; step <= 16; ++step) {
    if (without[step - 1] == 0) continue;
    const TemporaryFolder stopped;
    CopyRun(whole, stopped, step);
    ASSERT_EQ(Train(Run(), stopped.path()), 0);
    EXPECT_EQ(MetricsOf(stopped), MetricsOf(whole)) << step;
    EXPECT_TRUE(Model(stopped, 18) == Model(whole, 18)) << step;
  }
}

TEST_F(UnknownText, OnAGpuGraphsAreNoneTheWorseForSuchSteps) {
  if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  const std::string small = "model.width=64,bootstrap.full_steps=4,bootstrap.tree_steps=6";
  const TemporaryFolder cpu, gpu, graphs;
  ASSERT_EQ(Train(Run(small), cpu.path()), 0);
  ASSERT_EQ(Train(Run(small), gpu.path(), /*ranks=*/1, kGpu), 0);
  ASSERT_EQ(Train(Run(small), graphs.path(), /*ranks=*/1, kGpuGraphs), 0);
  EXPECT_EQ(WithoutUpdate(gpu), WithoutUpdate(cpu));
  EXPECT_EQ(MetricsOf(graphs), MetricsOf(gpu));
  EXPECT_TRUE(Model(graphs, 10) == Model(gpu, 10));
}

TEST_F(UnknownText, TextWithoutAnyKnownWordIsTrainedAndEvaluatedWithoutATarget) {
  const TemporaryFolder folder;
  input_.Write("text.txt", "zz zz zz\nzz zz\nzz zz zz zz\nzz zz zz zz zz\n");
  ASSERT_EQ(Train(Run(), folder.path()), 0);
  EXPECT_EQ(WithoutUpdate(folder), std::vector<int>(18, 1));
}

nlohmann::json Births(const TemporaryFolder& folder, int64_t step) {
  const std::string name = "checkpoints/step_" + std::to_string(step) + "/manifest.json";
  return nlohmann::json::parse(folder.Read(name)).at("manifest").at("state").at("births");
}

// The first update of a bias, from rest, is the rate times the sign of its gradient.  With the
// correction of the whole run's 13 updates it would be 0.1 / 0.75 sqrt(0.013 / 0.001) = 0.48 of it,
// later on up to 6.6 times as much.  AdamW's epsilon is out of the way: gradients are about 1e-5.
TEST(BornPlanes, MoveByTheRateInTheirFirstUpdate) {
  const TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun("training.checkpoint_every=1,training.keep_checkpoints=99,"
                           "training.log_every=1,optimizer.epsilon=1e-12"),
                  folder.path()),
            0);
  double rate = 0;
  for (const nlohmann::json& record : MetricsOf(folder)) {
    if (record.contains("train") && record["step"] == 13) rate = record["train"]["learning_rate"];
  }
  ASSERT_GT(rate, 0);
  const Safetensors after(folder.File("checkpoints/step_13/model.safetensors"));
  const std::vector<float> bias =
      ReadFloat32(after.tensors().at("bert.encoder.layer.1.attention.self.tree.bias"));
  ASSERT_EQ(bias.size(), 2u * 3u);
  int moved = 0;
  for (int64_t i : {1, 2, 4, 5}) {  // of level 1, born at step 12
    if (bias[i] == 0) continue;     // no row with a gradient came by
    EXPECT_NEAR(std::abs(bias[i]), rate, 1e-3 * rate) << i;
    ++moved;
  }
  EXPECT_GT(moved, 0);
}

// Two groups of one layer, two heights: the tree of the second layer begins again at step 12.
TEST(BornPlanes, OfTreesThatRegrowAreDrawnAnew) {
  const auto run = [] {
    return SmallRun(
        "bootstrap.regrow=true,bootstrap.layer_width=1,training.checkpoint_every=1,"
        "training.keep_checkpoints=99");
  };
  const TemporaryFolder folder, stopped;
  ASSERT_EQ(Train(run(), folder.path()), 0);
  const std::string plane = "bert.encoder.layer.1.attention.self.tree.weight";
  EXPECT_EQ(Births(folder, 10).at(plane), (nlohmann::json{6, 9}));
  EXPECT_EQ(Births(folder, 13).at(plane), (nlohmann::json{12}));
  EXPECT_EQ(Births(folder, 16).at(plane), (nlohmann::json{12, 15}));
  // One update after its birth a root is still about what was drawn, from N(0, 1/8).
  const Safetensors first(folder.File("checkpoints/step_7/model.safetensors"));
  const Safetensors again(folder.File("checkpoints/step_13/model.safetensors"));
  const std::vector<float> a = ReadFloat32(first.tensors().at(plane));
  const std::vector<float> b = ReadFloat32(again.tensors().at(plane));
  ASSERT_EQ(a.size(), 16u);
  ASSERT_EQ(b.size(), 16u);
  double distance = 0;
  for (int64_t i = 0; i < 16; ++i) distance += std::abs(a[i] - b[i]) / 16;
  EXPECT_GT(distance, 0.1);
  CopyRun(folder, stopped, 13);
  ASSERT_EQ(Train(run(), stopped.path()), 0);
  EXPECT_EQ(MetricsOf(stopped), MetricsOf(folder));
}

TEST(BornPlanes, KeepTheirCountsInCheckpoints) {
  const TemporaryFolder folder;
  ASSERT_EQ(
      Train(SmallRun("training.checkpoint_every=1,training.keep_checkpoints=99"), folder.path()),
      0);
  const std::string plane = "bert.encoder.layer.0.attention.self.tree.weight";
  EXPECT_EQ(Births(folder, 6).size(), 0u);
  EXPECT_EQ(Births(folder, 7).at(plane), (nlohmann::json{6}));
  EXPECT_EQ(Births(folder, 13).at(plane), (nlohmann::json{6, 12}));
  EXPECT_EQ(Births(folder, 18).at(plane), (nlohmann::json{6, 12}));
}

}  // namespace

}  // namespace treeformer
