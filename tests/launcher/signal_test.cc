// The program itself: stopped by signals, started again.

#include <signal.h>

#include <chrono>
#include <thread>

#include "kernels/base/output_file.h"
#include "tests/launcher/program.h"

namespace treeformer {

namespace {

constexpr const char* kSteps = "bootstrap.full_steps=20,bootstrap.tree_steps=40";

class SignalTest : public ProgramTest {
 protected:
  std::vector<nlohmann::json> Metrics(const std::string& run) {
    return ParseMetrics(folder_.Read(run + "/metrics.jsonl"));
  }
  template <typename Condition>
  void WaitFor(const Condition& condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL() << "not within half a minute: " << folder_.Read("output");
  }
  // Until the run has logged something of `stage`.
  void WaitForStage(const std::string& run, int stage) {
    WaitFor([&] {
      const auto records = Metrics(run);
      return !records.empty() && records.back().at("stage") >= stage;
    });
  }
  std::vector<nlohmann::json> Undisturbed() {
    EXPECT_EQ(Status(Start("undisturbed", {"--set", kSteps})), 0) << folder_.Read("output");
    return Metrics("undisturbed");
  }
};

TEST_F(SignalTest, StopSignalsLeaveACheckpointAndStatus75AndTheRunGoesOn) {
  for (int signal : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP}) {
    const std::string run = "run_" + std::to_string(signal);
    const std::string never = std::string(kSteps) + ",training.checkpoint_every=0";
    const pid_t pid = Start(run, {"--set", never});
    WaitForStage(run, 1);
    kill(pid, signal);
    EXPECT_EQ(Status(pid), 75) << folder_.Read("output");
    EXPECT_FALSE(std::filesystem::is_empty(folder_.File(run + "/checkpoints")));
    if (signal != SIGTERM) continue;
    EXPECT_EQ(Status(Start(run, {"--set", never})), 0) << folder_.Read("output");
    EXPECT_EQ(Metrics(run), Undisturbed());
  }
}

// Three million stories take a minute to write and tokenise.
TEST_F(SignalTest, DuringThePreparationOfDataStopAtOnceAndLeaveNoHalfFile) {
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const std::string run = "run_" + std::to_string(signal);
    const pid_t pid = Start(run, {"--set=data.stories.count=3000000"});
    const std::string stories = run + "/data/stories.txt" + kUnfinishedSuffix;
    WaitFor([&] { return std::filesystem::exists(folder_.File(stories)); });
    const auto begin = std::chrono::steady_clock::now();
    kill(pid, signal);
    EXPECT_EQ(Status(pid), 1000 + signal) << folder_.Read("output");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
    for (const auto& entry : std::filesystem::directory_iterator(folder_.File(run + "/data"))) {
      EXPECT_FALSE(entry.path().string().ends_with(kUnfinishedSuffix)) << entry.path();
    }
  }
}

TEST_F(SignalTest, DuringPrepareRemoveTheHalfFiles) {
  std::string text;
  for (int i = 0; i < 3000000; ++i) text += "a line of text to be cut into tokens\n";
  const std::string input = folder_.Write("text/big.txt", text);
  const std::string vocabulary =
      folder_.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nline\nof\ntext\n");
  const std::string output = folder_.File("out/tokens");
  std::filesystem::create_directory(folder_.File("out"));
  const pid_t pid = Spawn({TREEFORMER, "prepare", "--text=" + input, "--vocabulary=" + vocabulary,
                           "--output=" + output, "--document=line", "--threads=1"});
  WaitFor([&] { return std::filesystem::exists(output + ".offsets" + kUnfinishedSuffix); });
  kill(pid, SIGINT);
  EXPECT_EQ(Status(pid), 1000 + SIGINT) << folder_.Read("output");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.File("out")));
}

TEST_F(SignalTest, BadInputGivesOneSentenceAndStatusTwo) {
  EXPECT_EQ(Status(Start("run", {"--set=model.widht=3"})), 2);
  EXPECT_EQ(folder_.Read("output"),
            "treeformer: --set=model.widht: Model has no field 'widht' (did you mean width?)\n");
  EXPECT_FALSE(std::filesystem::exists(folder_.File("run")));
  EXPECT_EQ(Status(Start("run", {"--treads=1"})), 2);
  EXPECT_EQ(Status(Start("run", {"--set=training.batch_size=0"})), 2);
  EXPECT_EQ(Status(Spawn({TREEFORMER, "frobnicate"})), 2);
  EXPECT_EQ(Status(Spawn({TREEFORMER, "plan", "--config=bert_base_tc"})), 0);
}

TEST_F(SignalTest, AnEvaluationRepeatsTheLastOneOfTheRun) {
  ASSERT_EQ(Status(Start("run", {"--set=training.evaluate_sequences=0"})), 0);
  std::filesystem::remove(folder_.File("output"));
  EXPECT_EQ(Status(Spawn({TREEFORMER, "evaluate", "--run_dir=" + folder_.File("run")})), 0);
  const double loss = Metrics("run").back().at("held_out").at("loss");
  const std::string output = folder_.Read("output");
  EXPECT_NE(output.find("loss " + FormatFixed(loss, 4)), std::string::npos) << output << loss;
}

}  // namespace

}  // namespace treeformer
