#include "core/checkpoint.h"

#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/user_error.h"
#include "tests/testing.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Checkpoints : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        fs::temp_directory_path() / ("checkpoints_" + std::to_string(getpid()) + "_" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  Parameters Model(uint64_t seed, int64_t width = 5) {
    Parameters parameters;
    parameters.Declare("a.weight", {3, width}, Initializer::Normal(1), true);
    parameters.Declare("a.bias", {width}, Initializer::Normal(1), false);
    parameters.Allocate(ctx_, DType::kFloat32);
    parameters.Initialize(ctx_, seed);
    for (Out moments : {parameters.first_moments(), parameters.second_moments()}) {
      Copy(ctx_, moments, parameters.values());
    }
    return parameters;
  }
  void Save(int64_t step) {
    SaveCheckpoint(ctx_, directory_, step, Model(step), {{"sample", step * 10}});
  }
  void ExpectEqual(const Parameters& a, const Parameters& b) {
    for (const auto& [x, y] : {std::pair{a.values(), b.values()},
                               {a.first_moments(), b.first_moments()},
                               {a.second_moments(), b.second_moments()}}) {
      EXPECT_EQ(memcmp(x.data(), y.data(), x.bytes()), 0);
    }
  }
  static void FlipByte(const fs::path& path, int64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const char byte = file.get();
    file.seekp(offset);
    file.put(byte ^ 1);
  }

  Context ctx_ = Context::Cpu();
  fs::path directory_;
};

TEST_F(Checkpoints, ComeBackBitForBit) {
  Save(3);
  json state;
  const auto found = FindCheckpoint(directory_, &state);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 3);
  EXPECT_EQ(state, json({{"sample", 30}}));
  Parameters loaded = Model(/*seed=*/99);
  LoadCheckpoint(ctx_, *found, loaded, /*with_moments=*/true);
  ExpectEqual(loaded, Model(3));
}

TEST_F(Checkpoints, TheNewestWinsByNumberNotByName) {
  Save(9);
  Save(10);
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 10);
}

TEST_F(Checkpoints, AnyFlippedByteIsNamedAndTheOneBeforeIsUsed) {
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "manifest.json"}) {
    Save(1);
    Save(2);
    const fs::path damaged = directory_ / "step_2" / name;
    FlipByte(damaged, fs::file_size(damaged) / 2);
    json state;
    testing::internal::CaptureStderr();
    const auto found = FindCheckpoint(directory_, &state);
    const std::string log = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->step, 1);
    EXPECT_NE(log.find(damaged.string() + " is damaged"), std::string::npos) << log;
  }
}

TEST_F(Checkpoints, ACutFileIsDamagedToo) {
  Save(2);
  fs::resize_file(directory_ / "step_2/model.safetensors", 100);
  json state;
  EXPECT_FALSE(FindCheckpoint(directory_, &state));
  EXPECT_THROW(OpenCheckpoint(directory_ / "step_2", &state), UserError);
}

TEST_F(Checkpoints, AHalfWrittenOneIsNoCheckpointAndIsCleanedUp) {
  Save(1);
  fs::create_directories(directory_ / "step_2.tmp");
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 1);
  PruneCheckpoints(directory_, /*keep=*/3);
  EXPECT_FALSE(fs::exists(directory_ / "step_2.tmp"));
}

TEST_F(Checkpoints, OnlyTheLastOnesAreKept) {
  for (int64_t step : {1, 2, 3, 10}) Save(step);
  PruneCheckpoints(directory_, /*keep=*/2);
  EXPECT_FALSE(fs::exists(directory_ / "step_2"));
  EXPECT_TRUE(fs::exists(directory_ / "step_3"));
  EXPECT_TRUE(fs::exists(directory_ / "step_10"));
}

TEST_F(Checkpoints, AnotherModelIsRefusedByTheNameOfTheTensor) {
  Save(1);
  json state;
  const auto found = FindCheckpoint(directory_, &state);
  Parameters other = Model(1, /*width=*/6);
  try {
    LoadCheckpoint(ctx_, *found, other, true);
    FAIL() << "accepted";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("a.weight"), std::string::npos) << error.what();
  }
}

// The file size limit stands for the full disk: the write fails in the middle of a file.
TEST_F(Checkpoints, AFullDiskIsTheUsersToKnowAndHarmsNothing) {
  Save(1);
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {150, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(Save(2), UserError);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(fs::exists(directory_ / "step_2"));
  EXPECT_FALSE(fs::exists(directory_ / "step_2.tmp"));
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 1);
}

}  // namespace
