#include "launcher/training/controls.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/launcher/small_run.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

const std::string kWithControls = "training.controls=true";

nlohmann::json LastHeldOut(const std::string& directory) {
  nlohmann::json last;
  std::ifstream lines(directory + "/metrics.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record.contains("held_out")) last = record;
  }
  return last;
}

class ControlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    undisturbed_ = new TemporaryFolder;
    ASSERT_EQ(Train(SmallRun(kWithControls), undisturbed_->path()), 0);
  }
  static void TearDownTestSuite() { delete undisturbed_; }

  static std::string Metrics(const TemporaryFolder& folder, const std::string& name) {
    std::string text;
    for (const auto& record : ParseMetrics(folder.Read("controls/" + name + "/metrics.jsonl"))) {
      text += record.dump() + "\n";
    }
    return text;
  }

  static TemporaryFolder* undisturbed_;
};
TemporaryFolder* ControlsTest::undisturbed_ = nullptr;

TEST_F(ControlsTest, GoOnFromTheEndOfFullAttentionToTheRunsLastStep) {
  for (const std::string name : {"full", "frozen"}) {
    const auto records = ParseMetrics(undisturbed_->Read("controls/" + name + "/metrics.jsonl"));
    ASSERT_FALSE(records.empty());
    EXPECT_GT(records.front().at("step"), 6) << name;
    EXPECT_EQ(records.back().at("step"), 18) << name;
    EXPECT_TRUE(fs::exists(undisturbed_->File("controls/" + name + "/checkpoints/step_18")));
  }
}

// The run that has full attention for 18 steps is the control, bit for bit.
TEST_F(ControlsTest, TheFullControlIsTheRunThatNeverHadTrees) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun("bootstrap=,bootstrap.full_steps=18"), folder.path()), 0);
  const std::string model = "checkpoints/step_18/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == undisturbed_->Read("controls/full/" + model));
}

TEST_F(ControlsTest, TheFrozenControlIsTheRunWithoutAGradientOfItsTrees) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun("bootstrap.attention.gradient=NONE"), folder.path()), 0);
  const std::string model = "checkpoints/step_18/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == undisturbed_->Read("controls/frozen/" + model));
  EXPECT_FALSE(folder.Read(model) == undisturbed_->Read(model));
}

TEST_F(ControlsTest, TheyLeaveTheRunItselfAsItIs) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_));
}

// As a kill leaves it inside a control: the same command goes on with that control.
TEST_F(ControlsTest, AreResumedLikeAnyRun) {
  TemporaryFolder folder;
  fs::copy(undisturbed_->path(), folder.path(),
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  fs::remove_all(folder.File("controls/full/checkpoints/step_18"));
  fs::remove_all(folder.File("controls/full/checkpoints/step_16"));
  fs::remove_all(folder.File("controls/frozen"));  // begins at step 0, without the checkpoint
  ASSERT_EQ(Train(SmallRun(kWithControls), folder.path()), 0);
  EXPECT_EQ(Metrics(folder, "full"), Metrics(*undisturbed_, "full"));
  const std::string model = "controls/frozen/checkpoints/step_18/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == undisturbed_->Read(model));
}

TEST_F(ControlsTest, BeginWhenTheLastStageOfARunInPartsIsDone) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun(kWithControls), folder.path(), /*ranks=*/1, {}, "0:2"), 0);
  EXPECT_FALSE(fs::exists(folder.File("controls/full/checkpoints/step_8")));
  ASSERT_EQ(Train(SmallRun(kWithControls), folder.path(), /*ranks=*/1, {}, "2:3"), 0);
  const std::string model = "controls/full/checkpoints/step_18/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == undisturbed_->Read(model));
}

TEST_F(ControlsTest, MayBeAskedForAfterTheRun) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  ASSERT_EQ(Train(SmallRun(kWithControls), folder.path()), 0);
  EXPECT_EQ(LastHeldOut(folder.File("controls/frozen"))["held_out"],
            LastHeldOut(undisturbed_->File("controls/frozen"))["held_out"]);
}

TEST_F(ControlsTest, ShareRanksAndData) {
  TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun(kWithControls), folder.path(), /*ranks=*/2), 0);
  EXPECT_NEAR(LastHeldOut(folder.File("controls/full"))["held_out"]["loss"],
              LastHeldOut(undisturbed_->File("controls/full"))["held_out"]["loss"].get<double>(),
              1e-3);
  EXPECT_TRUE(fs::exists(folder.File("controls/full/data/vocab.txt")));
}

TEST_F(ControlsTest, WithoutTreesOrWithRatesThatRestartTheyAreRefused) {
  EXPECT_REFUSED(ValidateTraining(SmallRun(kWithControls + ",bootstrap.tree_steps=0"), 1),
                 "training.controls is true");
  EXPECT_REFUSED(ValidateTraining(SmallRun(kWithControls + ",optimizer.schedule_scope=STAGE"), 1),
                 "optimizer.schedule_scope RUN");
}

}  // namespace

}  // namespace treeformer
