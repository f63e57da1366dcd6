#include <xxhash.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/checkpoint/checkpoint_part.h"
#include "core/training/optimizer_state.h"
#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "tests/datasets/full_disk.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/testing.h"

namespace treeformer {

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

  struct Model {
    Parameters parameters;
    OptimizerState state;
    std::vector<CheckpointFile> Files() const {
      return {{"model", parameters.Tensors()}, {"optimizer", state.Tensors(parameters)}};
    }
  };
  Model Made(uint64_t seed, int64_t width = 5) {
    Model model;
    Parameters& parameters = model.parameters;
    parameters.Declare("a.weight", {3, width}, Initializer::Normal(1), Role::kWeight);
    parameters.Declare("a.bias", {width}, Initializer::Normal(1), Role::kBias);
    parameters.Allocate(ctx_, DType::kFloat32);
    parameters.Initialize(ctx_, seed);
    model.state = OptimizerState(ctx_, parameters);
    for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
      Copy(ctx_, model.state.moments(moment), parameters.values());
    }
    return model;
  }
  void Save(int64_t step) {
    SaveCheckpoint(ctx_, directory_, step, Made(step).Files(), {{"sample", step * 10}});
  }
  void Load(const CheckpointInfo& checkpoint, Model& model) {
    LoadValues(ctx_, CheckpointPart(checkpoint, "model"), model.parameters);
    CheckpointPart(checkpoint, "optimizer").Load(ctx_, model.state.Tensors(model.parameters));
  }
  void ExpectEqual(const Model& a, const Model& b) {
    const auto expect_equal = [](Out x, Out y) {
      EXPECT_EQ(memcmp(x.data(), y.data(), x.bytes()), 0);
    };
    expect_equal(a.parameters.values(), b.parameters.values());
    for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
      expect_equal(a.state.moments(moment), b.state.moments(moment));
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
  Model loaded = Made(/*seed=*/99);
  Load(*found, loaded);
  ExpectEqual(loaded, Made(3));
}

// Each file holds a half of the buffer, which cuts a.weight; each rank loads another third of it.
TEST_F(Checkpoints, OfShardsAreLoadedWholeOrInOtherShards) {
  const Model model = Made(3);
  const Range whole{0, model.parameters.count()};
  std::vector<CheckpointFile> files{{"model", model.parameters.Tensors()}};
  std::deque<OptimizerState> shards;
  for (int shard : {1, 0}) {
    const Range half{shard == 0 ? 0 : 7, shard == 0 ? 7 : whole.end};
    const OptimizerState& state = shards.emplace_back(ctx_, model.parameters, half);
    for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
      Copy(ctx_, state.moments(moment), model.state.moments(moment).Rows(half.begin, half.end));
    }
    files.push_back({"optimizer", state.Tensors(model.parameters), shard, 2});
  }
  SaveCheckpoint(ctx_, directory_, 3, files, json::object());
  EXPECT_TRUE(fs::exists(directory_ / "step_3/optimizer-00001-of-00002.safetensors"));
  const auto found = FindCheckpoint(directory_, nullptr);
  Model loaded = Made(/*seed=*/99);
  Load(*found, loaded);
  ExpectEqual(loaded, model);
  const CheckpointPart part(*found, "optimizer");
  EXPECT_EQ(part.tensors(), 4);
  for (const Range third : {Range{0, 3}, Range{3, 18}, Range{18, whole.end}}) {
    const OptimizerState state(ctx_, model.parameters, third);
    part.Load(ctx_, state.Tensors(model.parameters));
    for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
      const Out expected = model.state.moments(moment).Rows(third.begin, third.end);
      EXPECT_EQ(memcmp(state.moments(moment).data(), expected.data(), expected.bytes()), 0);
    }
  }
}

TEST_F(Checkpoints, AShardThatIsMissingIsToldByItsFirstElement) {
  const Model model = Made(3);
  const OptimizerState state(ctx_, model.parameters, {0, 7});
  SaveCheckpoint(ctx_, directory_, 3,
                 {{"model", model.parameters.Tensors()},
                  {"optimizer", state.Tensors(model.parameters), /*shard=*/0, /*shards=*/2}},
                 json::object());
  Model loaded = Made(/*seed=*/99);
  EXPECT_REFUSED(Load(*FindCheckpoint(directory_, nullptr), loaded),
                 "has no element 7 of a.weight.first_moment, which the model needs");
}

TEST_F(Checkpoints, OfOneRankHaveTheFilesAndTensorsOfOldOnes) {
  Save(3);
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory_ / "step_3")) {
    names.insert(entry.path().filename());
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"manifest.json", "model.safetensors", "optimizer.safetensors"}));
  std::ifstream file(directory_ / "step_3/optimizer.safetensors", std::ios::binary);
  std::string header(400, ' ');
  file.read(header.data(), 400);
  EXPECT_EQ(header.substr(8, 2), "{\"");
  EXPECT_EQ(header.find("__metadata__"), std::string::npos);
  const std::string tensor =
      R"("a.bias.first_moment":{"dtype":"F32","shape":[5],"data_offsets":[60,80]})";
  EXPECT_NE(header.find(tensor), std::string::npos) << header;
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
  fs::create_directories(directory_ / ("step_2" + std::string(kUnfinishedSuffix)));
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 1);
  PruneCheckpoints(directory_, /*keep=*/3, {1});
  EXPECT_FALSE(fs::exists(directory_ / ("step_2" + std::string(kUnfinishedSuffix))));
}

TEST_F(Checkpoints, OnlyTheLastOnesAreKept) {
  for (int64_t step : {1, 2, 3, 10}) Save(step);
  PruneCheckpoints(directory_, /*keep=*/2, {1, 2, 3, 10});
  EXPECT_FALSE(fs::exists(directory_ / "step_2"));
  EXPECT_TRUE(fs::exists(directory_ / "step_3"));
  EXPECT_TRUE(fs::exists(directory_ / "step_10"));
}

// As after a resume with one damaged checkpoint: it counts for nothing.
TEST_F(Checkpoints, OnlyValidOnesCountAmongThoseKept) {
  for (int64_t step : {140, 160, 180}) Save(step);
  for (const char* damaged : {"step_160", "step_180"}) {
    FlipByte(directory_ / damaged / "model.safetensors", 90);
  }
  json state;
  testing::internal::CaptureStderr();
  ASSERT_EQ(FindCheckpoint(directory_, &state)->step, 140);
  SetAsideCheckpointsAfter(directory_, 140);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("step_160.set_aside"), std::string::npos);
  std::set<int64_t> valid = {140};
  for (int64_t step : {145, 150, 155}) {
    Save(step);
    valid.insert(step);
    PruneCheckpoints(directory_, /*keep=*/2, valid);
    EXPECT_TRUE(fs::exists(directory_ / ("step_" + std::to_string(step))));
    EXPECT_TRUE(fs::exists(directory_ / ("step_" + std::to_string(step - 5)))) << step;
  }
  EXPECT_FALSE(fs::exists(directory_ / "step_145"));
  EXPECT_TRUE(fs::exists(directory_ / "step_180.set_aside"));
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 155);
  for (int64_t step : {170, 190}) {  // the run passes what was set aside
    Save(step);
    valid.insert(step);
    PruneCheckpoints(directory_, /*keep=*/2, valid);
  }
  EXPECT_FALSE(fs::exists(directory_ / "step_160.set_aside"));
  EXPECT_TRUE(fs::exists(directory_ / "step_180.set_aside"));
}

// As where a run trains and prunes meanwhile.
TEST_F(Checkpoints, OpenWeightsOutliveTheirCheckpoint) {
  Save(3);
  const auto weights = FindPart(directory_, "model", nullptr);
  ASSERT_TRUE(weights);
  fs::remove_all(directory_ / "step_3");
  Model loaded = Made(/*seed=*/99);
  LoadValues(ctx_, *weights, loaded.parameters);
  const Out values = loaded.parameters.values();
  EXPECT_EQ(memcmp(values.data(), Made(3).parameters.values().data(), values.bytes()), 0);
}

TEST_F(Checkpoints, AFolderOfAnotherKeepsItsPlaceAndCountsForNothing) {
  fs::create_directories(directory_ / "step_1000");
  fs::create_directories(directory_ / "step_abc");
  fs::create_directories(directory_ / "step_5/mine");
  fs::create_directories(directory_ / "step_5.tmp");
  fs::create_directories(directory_ / "step_notes.tmp");
  Save(10);
  Save(20);
  PruneCheckpoints(directory_, /*keep=*/1, {10, 20});
  EXPECT_TRUE(fs::exists(directory_ / "step_20"));
  EXPECT_TRUE(fs::exists(directory_ / "step_1000"));
  EXPECT_TRUE(fs::exists(directory_ / "step_abc"));
  EXPECT_TRUE(fs::exists(directory_ / "step_5/mine"));
  EXPECT_TRUE(fs::exists(directory_ / "step_5.tmp"));
  EXPECT_TRUE(fs::exists(directory_ / "step_notes.tmp"));
  SetAsideCheckpointsAfter(directory_, 20);
  EXPECT_TRUE(fs::exists(directory_ / "step_1000"));
  EXPECT_FALSE(fs::exists(directory_ / "step_10"));
}

TEST_F(Checkpoints, WhatStandsUnderTheNameIsSetAsideNotRemoved) {
  Save(7);
  Save(7);
  EXPECT_TRUE(fs::exists(directory_ / "step_7.set_aside/model.safetensors"));
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 7);
}

TEST_F(Checkpoints, NamesThatAreNoStepsAreNoCheckpoints) {
  for (const char* name : {"step_abc", "step_-1x", "step_", "step_3.tmp", "step_4.set_aside"}) {
    fs::create_directories(directory_ / name);
  }
  EXPECT_FALSE(HasCheckpoints(directory_));
  Save(1);
  EXPECT_TRUE(HasCheckpoints(directory_));
}

// Hashes are no proof of good intent: of each manifest the hash is right.
TEST_F(Checkpoints, AManifestOfOtherTypesIsDamagedNotACrash) {
  Save(5);
  const fs::path path = directory_ / "step_5/manifest.json";
  const json good = json::parse(std::ifstream(path));
  const auto with = [&](const char* field, const json& value) {
    json manifest = good["manifest"];
    manifest[field] = value;
    return manifest;
  };
  const json hash_number = {{"model.safetensors", {{"bytes", 1}, {"xxh3", 5}}}};
  for (const json& manifest :
       {json(), json(3), json::array(), with("files", nullptr), with("files", 7),
        with("files", json{{"model.safetensors", 3}}), with("files", hash_number),
        with("files", json{{"..", json::object()}}), with("step", "five"), with("state", 1),
        with("format", "one"), with("format", 99)}) {
    const std::string text = manifest.dump();
    std::ofstream(path) << json{
        {"manifest", manifest},
        {"xxh3", Sentence(std::hex, XXH3_64bits(text.data(), text.size()))}};
    json state;
    EXPECT_THROW(OpenCheckpoint(directory_ / "step_5", &state), UserError) << manifest;
  }
  std::ofstream(path) << "{\"manifest\":" << std::string(100000, '[') << std::string(100000, ']')
                      << ",\"xxh3\":\"0\"}";
  EXPECT_THROW(OpenCheckpoint(directory_ / "step_5", nullptr), UserError);
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_THROW(OpenCheckpoint(directory_ / "step_5", nullptr), UserError);
}

TEST_F(Checkpoints, AnotherModelIsRefusedByTheNameOfTheTensor) {
  Save(1);
  json state;
  const auto found = FindCheckpoint(directory_, &state);
  Model other = Made(1, /*width=*/6);
  try {
    Load(*found, other);
    FAIL() << "accepted";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("a.weight"), std::string::npos) << error.what();
  }
}

// The write fails in the middle of a file.
TEST_F(Checkpoints, AFullDiskIsTheUsersToKnowAndHarmsNothing) {
  Save(1);
  {
    const FullDisk full(150);
    EXPECT_THROW(Save(2), UserError);
  }
  EXPECT_FALSE(fs::exists(directory_ / "step_2"));
  EXPECT_FALSE(fs::exists(directory_ / ("step_2" + std::string(kUnfinishedSuffix))));
  json state;
  EXPECT_EQ(FindCheckpoint(directory_, &state)->step, 1);
}

}  // namespace

}  // namespace treeformer
