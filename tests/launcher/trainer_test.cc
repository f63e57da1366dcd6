// Runs in this process, with ranks as threads.

#include "launcher/training/trainer.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/base/user_error.h"
#include "launcher/run/run_directory.h"
#include "tests/launcher/small_run.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

class TrainerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    undisturbed_ = new TemporaryFolder;
    ASSERT_EQ(Train(SmallRun(), undisturbed_->path()), 0);
  }
  static void TearDownTestSuite() { delete undisturbed_; }

  static TemporaryFolder* undisturbed_;
};
TemporaryFolder* TrainerTest::undisturbed_ = nullptr;

// The weights of the run's last checkpoint, the last `count` of which are `value`.
std::string WithLast(const TemporaryFolder& run, int count, float value) {
  std::string bytes = run.Read("checkpoints/step_18/model.safetensors");
  const std::vector<float> values(count, value);
  memcpy(bytes.data() + bytes.size() - count * sizeof value, values.data(), count * sizeof value);
  return bytes;
}

TEST_F(TrainerTest, ARunLeavesWhatTheArchitectureSays) {
  for (const char* name : {"config.textproto", "metrics.jsonl", "data/vocab.txt",
                           "data/training.tokens", "checkpoints/step_18/manifest.json", "log"}) {
    EXPECT_TRUE(fs::exists(undisturbed_->File(name))) << name;
  }
  const auto resolved = ReadRunConfig(undisturbed_->File("config.textproto"));
  EXPECT_EQ(Difference(resolved, SmallRun()), "");
}

TEST_F(TrainerTest, MetricsTellLossesStagesAndTrees) {
  int trains = 0, evaluations = 0;
  for (const nlohmann::json& record : MetricsOf(*undisturbed_)) {
    const int64_t step = record.at("step");
    EXPECT_EQ(record.at("stage"), (step - 1) / 6) << step;
    if (record.contains("held_out")) {
      ++evaluations;
      EXPECT_EQ(record["held_out"]["density"].size(), 2u);
      EXPECT_NEAR(record["held_out"]["perplexity"],
                  std::exp(record["held_out"]["loss"].get<double>()), 1e-6);
      continue;
    }
    ++trains;
    EXPECT_GT(record["train"]["gradient_norm"], 0);
    EXPECT_EQ(record.contains("layer_02"), step > 6) << step;
    if (step <= 6) continue;
    EXPECT_GT(record["layer_02"]["tree_gradient_norm"], 0);
    EXPECT_LE(record["layer_02"]["density"], 1);
    EXPECT_GE(record["layer_02"]["leaf_entropy"], 0);
  }
  EXPECT_EQ(trains, 6);       // every 3 of 18 steps
  EXPECT_EQ(evaluations, 6);  // 5, 10, 15 and the ends of the stages
}

// Without what was carried over, the first losses of a stage would be those of random weights.
TEST_F(TrainerTest, AStageGoesOnWithWhatTheOneBeforeLearned) {
  double random = 0;
  for (const nlohmann::json& record : MetricsOf(*undisturbed_)) {
    if (!record.contains("train")) continue;
    if (record["step"] == 3) random = record["train"]["loss"];
    if (record["step"] == 9) {
      EXPECT_LT(record["train"]["loss"], random - 0.1);
    }
  }
  EXPECT_GT(random, 0);
}

TEST_F(TrainerTest, AResumedRunEndsWithTheSameMetricsWhereverItWasStopped) {
  const std::string model = "checkpoints/step_18/model.safetensors";
  for (int64_t step : {4, 12, 16}) {  // inside a stage, at the boundary of two, inside a tree stage
    TemporaryFolder folder;
    CopyRun(*undisturbed_, folder, step);
    ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
    EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_)) << step;
    EXPECT_TRUE(folder.Read(model) == undisturbed_->Read(model)) << step;
  }
}

// Changes the state that a checkpoint's manifest keeps, and its hash.
template <typename Edit>
void EditState(const TemporaryFolder& folder, int64_t step, const Edit& edit) {
  const std::string name = "checkpoints/step_" + std::to_string(step) + "/manifest.json";
  nlohmann::json manifest = nlohmann::json::parse(folder.Read(name)).at("manifest");
  edit(manifest["state"]);
  const std::string text = manifest.dump();
  const std::string hash = Sentence(std::hex, XXH3_64bits(text.data(), text.size()));
  folder.Write(name, nlohmann::json{{"manifest", manifest}, {"xxh3", hash}}.dump());
}

std::set<std::string> FieldsOf(const nlohmann::json& object) {
  std::set<std::string> fields;
  for (const auto& [name, value] : object.items()) fields.insert(name);
  return fields;
}

TEST_F(TrainerTest, TheStateOfACheckpointHasTheFieldsThatItAlwaysHad) {
  nlohmann::json state;
  OpenCheckpoint(undisturbed_->File("checkpoints/step_16"), &state);
  using Fields = std::set<std::string>;
  EXPECT_EQ(FieldsOf(state), (Fields{"births", "config", "data_hash", "loader", "ranks", "report",
                                     "stage", "updates", "version", "vocabulary_hash"}));
  EXPECT_EQ(FieldsOf(state["loader"]), (Fields{"epoch", "next_sample", "seed", "step"}));
  EXPECT_EQ(FieldsOf(state["report"]),
            (Fields{"correct", "full_attention_seconds", "full_attention_tokens", "loss", "seconds",
                    "targets", "tokens", "without_update"}));
  EXPECT_EQ(state["stage"], 2);
  EXPECT_EQ(state["updates"], 16);
  EXPECT_EQ(state["loader"]["step"], 16);
}

// They had no updates, births or totals yet; before the first tree nothing was born.
TEST_F(TrainerTest, ARunGoesOnFromACheckpointOfTheFirstVersions) {
  TemporaryFolder folder;
  CopyRun(*undisturbed_, folder, 4);
  EditState(folder, 4, [](nlohmann::json& state) {
    for (const char* field : {"updates", "births", "data_hash", "ranks", "version"}) {
      EXPECT_EQ(state.erase(field), 1u) << field;
    }
    for (const char* field :
         {"without_update", "full_attention_seconds", "full_attention_tokens"}) {
      EXPECT_EQ(state["report"].erase(field), 1u) << field;
    }
  });
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_));
  const std::string model = "checkpoints/step_18/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == undisturbed_->Read(model));
}

TEST_F(TrainerTest, AStateThatCannotBeIsRefusedByItsComponent) {
  struct Case {
    const char* change;  // merged into the state
    const char* words;
  };
  for (const Case& wrong :
       {Case{R"({"stage": 3})", "step_16: its stage is 3; expected one of the plan's 3, from 0"},
        Case{R"({"stage": "1"})", "its stage is \"1\""},
        Case{R"({"updates": 17})", "its number of updates is 17; expected 0 to 16"},
        Case{R"({"updates": -1})", "its number of updates is -1"},
        Case{R"({"births": {"cls.predictions.bias": [17]}})",
             "the births of cls.predictions.bias are [17]"},
        Case{R"({"loader": {"epoch": "a"}})", "loader.epoch is \"a\"; expected an integer"},
        Case{R"({"loader": {"next_sample": -1}})", "its place in the data is negative"},
        Case{R"({"report": {"tokens": "a"}})", "has a state that cannot be gone on from"},
        Case{R"({"report": null})", "has a state that cannot be gone on from"},
        Case{R"({"vocabulary_hash": 1})", "it was made with another vocabulary than the data"}}) {
    TemporaryFolder folder;
    CopyRun(*undisturbed_, folder, 16);
    EditState(folder, 16, [&](nlohmann::json& state) {
      state.merge_patch(nlohmann::json::parse(wrong.change));
    });
    EXPECT_REFUSED(Train(SmallRun(), folder.path()), wrong.words);
  }
}

// Also where the checkpoint stands between two log lines.
TEST_F(TrainerTest, AResumedRunCountsAllTokens) {
  const auto tokens = [](const TemporaryFolder& folder) {
    nlohmann::json state;
    OpenCheckpoint(folder.File("checkpoints/step_18"), &state);
    return state.at("report").at("tokens").get<double>();
  };
  TemporaryFolder folder;
  CopyRun(*undisturbed_, folder, 4);
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  EXPECT_GT(tokens(folder), 0);
  EXPECT_EQ(tokens(folder), tokens(*undisturbed_));
}

// Part by part, each twice: what is done is not done again.
TEST_F(TrainerTest, ARunInPartsHasTheBitsOfTheRunInOne) {
  TemporaryFolder folder;
  for (const auto& [stages, steps] : {std::pair{"0:1", 6}, {"1:2", 12}, {"2:3", 18}}) {
    for (const int time : {1, 2}) {
      ASSERT_EQ(Train(SmallRun(), folder.path(), /*ranks=*/1, {}, stages), 0) << time;
      EXPECT_TRUE(fs::exists(folder.File(Sentence("checkpoints/step_", steps)))) << stages;
      EXPECT_FALSE(fs::exists(folder.File(Sentence("checkpoints/step_", steps + 2)))) << stages;
    }
  }
  EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_));
  for (const std::string file : {"model.safetensors", "optimizer.safetensors"}) {
    const std::string path = "checkpoints/step_18/" + file;
    EXPECT_TRUE(folder.Read(path) == undisturbed_->Read(path)) << file;
  }
}

TEST_F(TrainerTest, StagesWhoseBeginningIsMissingAreRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(Train(SmallRun(), folder.path(), /*ranks=*/1, {}, "1:3"),
                 "begins at step 6, but the run in " + folder.path() + " has done 0 steps");
  ASSERT_EQ(Train(SmallRun(), folder.path(), /*ranks=*/1, {}, "0:1"), 0);
  EXPECT_REFUSED(Train(SmallRun(), folder.path(), /*ranks=*/1, {}, "2:3"),
                 "begins at step 12, but the run in " + folder.path() + " has done 6 steps");
}

TEST_F(TrainerTest, ADamagedCheckpointIsSkippedAndTheOneBeforeUsed) {
  TemporaryFolder folder;
  CopyRun(*undisturbed_, folder, 16);
  std::string bytes = folder.Read("checkpoints/step_16/optimizer.safetensors");
  bytes[bytes.size() / 2] ^= 1;
  folder.Write("checkpoints/step_16/optimizer.safetensors", bytes);
  testing::internal::CaptureStderr();
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("step_16"), std::string::npos);
  EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_));
}

TEST_F(TrainerTest, WithOnlyDamagedCheckpointsNothingIsBegunAnew) {
  TemporaryFolder folder;
  CopyRun(*undisturbed_, folder, 4);
  folder.Write("checkpoints/step_4/manifest.json", "{");
  EXPECT_REFUSED(Train(SmallRun(), folder.path()), "holds no valid checkpoint");
}

TEST_F(TrainerTest, ACompleteRunStaysAsItIs) {
  TemporaryFolder folder;
  CopyRun(*undisturbed_, folder, 18);
  ASSERT_EQ(Train(SmallRun(), folder.path()), 0);
  const auto before = MetricsOf(*undisturbed_), after = MetricsOf(folder);
  ASSERT_GE(after.size(), before.size());
  EXPECT_EQ(after.back()["held_out"], before.back()["held_out"]);
}

TEST_F(TrainerTest, AnotherConfigurationMayNotGoOn) {
  EXPECT_REFUSED(Train(SmallRun("optimizer.learning_rate=0.02"), undisturbed_->path()),
                 "optimizer.learning_rate");
  EXPECT_REFUSED(Train(SmallRun("data.stories.seed=9"), undisturbed_->path()), "data.stories.seed");
}

// From the built-in stories, whose files are the same again.
TEST_F(TrainerTest, DataThatIsDamagedOrGoneIsMadeAgain) {
  for (const char* name : {"training.tokens", "held_out.tokens", "vocab.txt", "source.txt"}) {
    for (bool gone : {false, true}) {
      TemporaryFolder folder;
      CopyRun(*undisturbed_, folder, 16);
      const std::string path = std::string("data/") + name;
      std::string bytes = folder.Read(path);
      bytes[bytes.size() / 2] ^= 1;
      if (gone) fs::remove(folder.File(path));
      if (!gone) folder.Write(path, bytes);
      ASSERT_EQ(Train(SmallRun(), folder.path()), 0) << name;
      EXPECT_EQ(MetricsOf(folder), MetricsOf(*undisturbed_)) << name;
    }
  }
}

// The steps done are the same as in a run that was longer from the beginning.
TEST_F(TrainerTest, AFinishedRunIsExtendedWithItsMoments) {
  const std::string no_decay = "optimizer.final_rate=1,";
  TemporaryFolder folder, whole;
  ASSERT_EQ(Train(SmallRun(no_decay), folder.path()), 0);
  ASSERT_EQ(Train(SmallRun(no_decay + "bootstrap.final_steps=4"), folder.path()), 0);
  ASSERT_EQ(Train(SmallRun(no_decay + "bootstrap.final_steps=4"), whole.path()), 0);
  const std::string model = "checkpoints/step_22/model.safetensors";
  EXPECT_TRUE(folder.Read(model) == whole.Read(model));
  EXPECT_REFUSED(
      Train(SmallRun(no_decay), folder.path()),
      "full + tree + final steps were 6 + 12 + 4 and are 6 + 12 + 0, which changes the 22");
  EXPECT_REFUSED(Train(SmallRun(no_decay + "bootstrap.tree_steps=24"), folder.path()),
                 "were 6 + 12 + 4 and are 6 + 24 + 0");
}

// Targets and random numbers are the same; only sums come in another order.  Their error, 1e-7 of a
// gradient, may flip a token's leaf (density 1/4, 5,000 tokens: seldom) and is otherwise multiplied
// by AdamW in the first updates by at most sqrt(1 / (1 - beta2)) = 32 a step over 18 steps.
TEST_F(TrainerTest, RanksAndMicroBatchesChangeTheLossOnlyByTheOrderOfSums) {
  struct Layout {
    int ranks;
    const char* overrides;
  };
  for (const Layout& layout : {Layout{2, ""}, Layout{4, ""}, Layout{1, "training.micro_batches=4"},
                               Layout{2, "training.micro_batches=2,training.bucket_bytes=256"}}) {
    TemporaryFolder folder;
    ASSERT_EQ(Train(SmallRun(layout.overrides), folder.path(), layout.ranks), 0);
    const auto expected = MetricsOf(*undisturbed_), found = MetricsOf(folder);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      for (const char* kind : {"train", "held_out"}) {
        if (!expected[i].contains(kind)) continue;
        EXPECT_NEAR(found[i][kind]["loss"], expected[i][kind]["loss"].get<double>(), 1e-3)
            << layout.ranks << " ranks, " << layout.overrides << " " << expected[i];
      }
    }
  }
}

TEST_F(TrainerTest, ARunMayStartFromAnotherRunsWeights) {
  TemporaryFolder folder;
  const std::string from = undisturbed_->File("checkpoints/step_18");
  ASSERT_EQ(
      Train(SmallRun("bootstrap.attention=,bootstrap.tree_steps=0,bootstrap.full_steps=1,"
                     "training.log_every=1,optimizer.learning_rate=1e-9,training.start_from=" +
                     from),
            folder.path()),
      0);
  const double untrained = MetricsOf(*undisturbed_).front()["train"]["loss"];
  EXPECT_LT(MetricsOf(folder).front()["train"]["loss"], untrained - 0.1);
  EXPECT_REFUSED(Train(SmallRun("training.start_from=/nowhere"), TemporaryFolder().path()),
                 "/nowhere");
}

// Its tensors have the same shapes; only the manifest tells that they were trained to be read
// otherwise.
TEST_F(TrainerTest, ARunMayNotStartFromWeightsOfARunWithOtherHeads) {
  const std::string checkpoint = undisturbed_->File("checkpoints/step_4");
  for (const std::string& from : {checkpoint, checkpoint + "/model.safetensors"}) {
    ValidateStartFrom(SmallRun("training.start_from=" + from));
    for (const auto& [field, words] :
         {std::pair{"model.heads=4", "manifest.json: its run had model.heads 2, this one has 4"},
          std::pair{"model.layer_norm_epsilon=1e-6", "model.layer_norm_epsilon 1e-12, this one"},
          std::pair{"model.pre_norm=true", "model.pre_norm false, this one has true"}}) {
      EXPECT_REFUSED(ValidateStartFrom(SmallRun(Sentence(field, ",training.start_from=", from))),
                     words);
    }
  }
}

TEST_F(TrainerTest, ADirectoryInUseIsRefused) {
  TemporaryFolder folder;
  const RunLock lock(folder.File("lock"));
  EXPECT_REFUSED(Train(SmallRun(), folder.path()), "is held by another process");
}

TEST_F(TrainerTest, ABatchThatDoesNotDivideIsRefused) {
  TemporaryFolder folder;
  EXPECT_REFUSED(Train(SmallRun(), folder.path(), 3), "training.batch_size is 8");
}

TEST_F(TrainerTest, ALossThatIsNotANumberStopsTheRun) {
  TemporaryFolder folder;
  testing::internal::CaptureStderr();
  EXPECT_EQ(Train(SmallRun("optimizer.learning_rate=1e30,optimizer.warmup_steps=0"), folder.path()),
            70);
  const std::string message = testing::internal::GetCapturedStderr();
  EXPECT_NE(message.find("step 1: the loss is"), std::string::npos) << message;
}

// Each rank in a directory, with a configuration, of its own.
template <typename Config, typename Directory>
void TrainRanks(const Config& config, const Directory& directory) {
  dist::RunLocalRanks(2, [&](dist::Communicator& communicator) {
    omp_set_num_threads(1);
    Progress progress(/*speaks=*/false);
    const config::RunConfig of_rank = config(communicator.rank());
    RunTraining(communicator, of_rank, directory(communicator.rank()), PartOf(of_rank), {},
                progress);
  });
}

TEST_F(TrainerTest, RanksWithAnotherConfigurationAreRefusedAtTheStart) {
  const TemporaryFolder folder;
  const auto config = [](int rank) {
    return SmallRun(rank == 1 ? "optimizer.learning_rate=0.02" : "");
  };
  EXPECT_REFUSED(TrainRanks(config, [&](int) { return folder.path(); }),
                 "has another configuration than rank 0");
  EXPECT_FALSE(fs::exists(folder.File("checkpoints/step_4")));
}

TEST_F(TrainerTest, RanksWithOtherDataOrParametersAreRefusedAtTheStart) {
  const TemporaryFolder mine, other, another_run;
  ASSERT_EQ(Train(SmallRun("data.stories.seed=9"), another_run.path()), 0);
  fs::copy(another_run.File("data"), other.File("data"));
  const auto directory = [&](int rank) { return rank == 1 ? other.path() : mine.path(); };
  EXPECT_REFUSED(TrainRanks([](int) { return SmallRun(); }, directory),
                 "has another vocabulary or token file than rank 0");
  const TemporaryFolder weights;
  fs::copy(undisturbed_->File("checkpoints/step_16"), weights.File("rank_0"));
  fs::copy(undisturbed_->File("checkpoints/step_18"), weights.File("rank_1"));
  const auto config = [&](int rank) {
    return SmallRun("bootstrap.attention=,bootstrap.tree_steps=0,training.start_from=" +
                    weights.File("rank_" + std::to_string(rank)));
  };
  const TemporaryFolder folder;
  EXPECT_REFUSED(TrainRanks(config, [&](int) { return folder.path(); }),
                 "has another set of initial parameters than rank 0");
}

// Rank 1 finds another number in one of its sums of gradients.
class FaultyCommunicator : public dist::Communicator {
 public:
  explicit FaultyCommunicator(dist::Communicator& base) : Communicator(base), base_(base) {}

 private:
  std::unique_ptr<dist::Operation> DoStart(const dist::Call& call, cudaStream_t stream) override {
    auto operation = StartOn(base_, call, stream);
    const bool is_gradient =
        call.kind == dist::CallKind::kAllReduceSum && call.dtype() == DType::kFloat32;
    if (rank() != 1 || !is_gradient || ++sums_ != 6) return operation;
    operation->Wait();
    call.out.as<float>()[0] += 1;
    return nullptr;
  }
  std::unique_ptr<dist::Communicator> DoSplit(int colour, int key,
                                              const std::string& name) override {
    return SplitOn(base_, colour, key, name);
  }

  dist::Communicator& base_;
  int sums_ = 0;
};

TEST_F(TrainerTest, RanksThatDriftApartEndTheRunBeforeTheyAreSaved) {
  const TemporaryFolder folder;
  testing::internal::CaptureStderr();
  int status = -1;
  dist::RunLocalRanks(3, [&](dist::Communicator& communicator) {
    omp_set_num_threads(1);
    Progress progress(/*speaks=*/false);
    FaultyCommunicator faulty(communicator);
    const config::RunConfig config = SmallRun("training.batch_size=9");
    const int mine = RunTraining(faulty, config, folder.path(), PartOf(config), {}, progress);
    if (communicator.rank() == 0) status = mine;
  });
  EXPECT_EQ(status, 70);
  const std::string message = testing::internal::GetCapturedStderr();
  EXPECT_NE(message.find("the ranks have drifted apart: rank 1 on "), std::string::npos) << message;
  EXPECT_TRUE(fs::exists(folder.File("checkpoints/step_4")));
  EXPECT_FALSE(fs::exists(folder.File("checkpoints/step_8")));
}

TEST_F(TrainerTest, TheRecorderSaysWhichLayersGradientsAreSummed) {
  const TemporaryFolder folder;
  dist::RunLocalRanks(2, [&](dist::Communicator& communicator) {
    omp_set_num_threads(1);
    Progress progress(/*speaks=*/false);
    const config::RunConfig config =
        SmallRun("bootstrap.full_steps=1,bootstrap.tree_steps=2,training.bucket_bytes=4096");
    EXPECT_EQ(RunTraining(communicator, config, folder.path(), PartOf(config), {}, progress), 0);
    const std::string calls = communicator.recorder().DescribeAll();
    for (const char* layer : {", layer 0, ended", ", layer 1, ended"}) {
      EXPECT_NE(calls.find(layer), std::string::npos) << calls;
    }
    EXPECT_EQ(calls.find("layer 2"), std::string::npos) << calls;
    EXPECT_EQ(calls.find("not ended"), std::string::npos) << calls;
  });
}

TEST_F(TrainerTest, WeightsThatAreNotNumbersAreRefused) {
  const TemporaryFolder folder;
  const std::string from = folder.Write("weights.safetensors", WithLast(*undisturbed_, 1, NAN));
  const std::string tokens = undisturbed_->Read("data/vocab.txt");
  const int64_t last = std::count(tokens.begin(), tokens.end(), '\n') - 1;
  EXPECT_REFUSED(
      Train(SmallRun("training.start_from=" + from), folder.File("run")),
      Sentence(from, ": cls.predictions.bias: element ", last, " is not a finite float32"));
}

TEST_F(TrainerTest, WeightsAreNamedWhenTheFirstStepDiverges) {
  const TemporaryFolder folder;
  const std::string from =
      folder.Write("weights.safetensors", WithLast(*undisturbed_, 1000, 3e38f));
  testing::internal::CaptureStderr();
  EXPECT_EQ(Train(SmallRun("training.start_from=" + from), folder.File("run")), 70);
  const std::string message = testing::internal::GetCapturedStderr();
  EXPECT_NE(message.find(from), std::string::npos) << message;
  EXPECT_EQ(message.find("lower optimizer.learning_rate"), std::string::npos) << message;
}

TEST_F(TrainerTest, TextThatHoldsNothingOutIsRefused) {
  TemporaryFolder folder;
  const std::string text = folder.Write("text/a.txt", "one two three four five six seven eight. ");
  EXPECT_REFUSED(
      Train(SmallRun("data.stories=,data.vocabulary_size=100,data.text=" + text), folder.path()),
      "nothing can be held out");
}

}  // namespace

}  // namespace treeformer
