// The program itself: how it starts and what it leaves behind.

#include "tests/launcher/program.h"

namespace treeformer {

namespace {

std::string LogOf(const TemporaryFolder& folder, const std::string& run) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(folder.File(run + "/log"))) {
    text += folder.Read(run + "/log/" + entry.path().filename().string());
  }
  return text;
}

// As in the shell of `srun --ntasks=4` and of a launcher whose MPI is not ours.
TEST_F(ProgramTest, WhatNeedsNoRanksStartsNoMpi) {
  const std::vector<std::string> fourth = {"env", "SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=4",
                                           "SLURM_PROCID=3"};
  const std::vector<std::string> first = {"env", "SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=4",
                                          "SLURM_PROCID=0"};
  const auto run = [&](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.push_back(TREEFORMER);
    words.insert(words.end(), more.begin(), more.end());
    std::filesystem::remove(folder_.File("output"));
    return Status(Spawn(words));
  };
  EXPECT_EQ(run(first, {"--version"}), 0);
  EXPECT_EQ(folder_.Read("output").find("treeformer "), 0u);
  EXPECT_EQ(run(first, {"--help"}), 0);
  EXPECT_EQ(run(first, {"plan"}), 0);
  EXPECT_EQ(run(first, {"prepare", "--text=nowhere"}), 2);
  EXPECT_EQ(folder_.Read("output"), "treeformer: --vocabulary is missing; expected a vocab.txt\n");
  for (const char* word : {"--version", "--help", "plan", "frobnicate"}) {
    EXPECT_EQ(run(fourth, {word}), 0) << word;
    EXPECT_EQ(folder_.Read("output"), "") << word;
  }
}

TEST_F(ProgramTest, TheLogHasWhatTheProgramSaid) {
  EXPECT_EQ(Status(Start("run", {"--set=bootstrap.full_steps=2"})), 0) << folder_.Read("output");
  const std::string log = LogOf(folder_, "run");
  std::istringstream said(folder_.Read("output"));
  for (std::string line; std::getline(said, line);) {
    EXPECT_NE(log.find(line), std::string::npos) << line;
  }
}

TEST_F(ProgramTest, TheLogHasTheSentenceThatEndedTheRun) {
  EXPECT_EQ(Status(Start("run", {"--text=" + folder_.File("nowhere")})), 2);
  const std::string said = folder_.Read("output");
  EXPECT_NE(LogOf(folder_, "run").find("nowhere"), std::string::npos) << said;
}

TEST_F(ProgramTest, TheLogHasTheSentenceOfADivergence) {
  EXPECT_EQ(Status(Start("run", {"--set=optimizer.learning_rate=1e30,optimizer.warmup_steps=0"})),
            70);
  EXPECT_NE(LogOf(folder_, "run").find("the first gradient that is not finite"), std::string::npos);
}

TEST_F(ProgramTest, APartOfThePlanEndsWithWhatComesNext) {
  ASSERT_EQ(Status(Start("r", {"--stages=0:2"})), 0);
  const std::string output = folder_.Read("output");
  EXPECT_NE(output.find("stages 0 to 1 of 3 are done; go on with --stages=2:3"), std::string::npos);
  EXPECT_EQ(output.find("verdict"), std::string::npos) << output;
  EXPECT_EQ(Status(Start("r", {"--stages=2:5"})), 2);
  EXPECT_NE(folder_.Read("output").find("the plan has the stages 0 to 2"), std::string::npos);
}

TEST_F(ProgramTest, AFileSizeLimitIsASentence) {
  const std::string command = std::string("ulimit -f 8; exec ") + TREEFORMER +
                              " train --threads=1 --config=" + folder_.File("run.textproto") +
                              " --run_dir=" + folder_.File("run");
  EXPECT_EQ(Status(Spawn({"/bin/sh", "-c", command})), 2);
  EXPECT_NE(folder_.Read("output").find("File too large"), std::string::npos);
}

TEST_F(ProgramTest, AFinishedRunThatIsStartedAgainWritesNoRecordTwice) {
  ASSERT_EQ(Status(Start("run")), 0);
  const std::string metrics = folder_.Read("run/metrics.jsonl");
  ASSERT_EQ(Status(Start("run")), 0);
  EXPECT_EQ(folder_.Read("run/metrics.jsonl"), metrics);
}

TEST_F(ProgramTest, AFolderForTemporaryFilesThatIsNoneIsNamed) {
  ASSERT_EQ(Status(Start("run")), 0);
  EXPECT_EQ(Status(Spawn({"/usr/bin/env", "TMPDIR=/nonexistent", TREEFORMER, "evaluate",
                          "--run_dir=" + folder_.File("run"),
                          "--text=" + folder_.File("run/data/stories.txt")})),
            2);
  EXPECT_EQ(Status(Spawn({"/usr/bin/env", "TMPDIR=/nonexistent", TREEFORMER, "evaluate",
                          "--run_dir=" + folder_.File("run")})),
            0);  // of its own text nothing is written
  EXPECT_NE(folder_.Read("output").find("temporary files, /nonexistent, cannot be used"),
            std::string::npos);
}

TEST_F(ProgramTest, ARunInTheFolderOfItsTextLeavesNothingThere) {
  const std::string text = folder_.Write("text/a.txt", "A text of some words.\n");
  for (const std::string& input : {folder_.File("text"), folder_.File("text/*")}) {
    EXPECT_EQ(Status(Start("text", {"--text=" + input})), 2);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.File("text")), {}), 1);
}

TEST_F(ProgramTest, AWrongConfigurationIsRefusedBeforeAnythingIsWritten) {
  const std::string nowhere = folder_.File("weights.safetensors");
  for (const std::string& set :
       {std::string("model.heads=3"), std::string("model.dropout=1.5"),
        std::string("bootstrap.layer_width=0"), std::string("optimizer.beta1=2"),
        std::string("training.batch_size=-1"), std::string("data.sequence_length=1"),
        "training.start_from=" + folder_.path(), "training.start_from=" + nowhere}) {
    EXPECT_EQ(Status(Start("run", {"--set=" + set})), 2) << set;
    EXPECT_FALSE(std::filesystem::exists(folder_.File("run"))) << set;
  }
  EXPECT_NE(folder_.Read("output").find(nowhere + " cannot be read"), std::string::npos);
}

// Beyond the machine's memory, and inside it but beyond a limit that only the allocation meets.
TEST_F(ProgramTest, AModelThatDoesNotFitIsRefusedWithWhatItNeeds) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs more address space than the limit of this test";
#endif
  for (const auto& [width, sentence] :
       {std::pair{"1000000", "of the plan needs parameters"}, {"3000", "planned for this rank"}}) {
    const std::string command = std::string("ulimit -v 1500000; exec ") + TREEFORMER +
                                " train --threads=1 --config=" + folder_.File("run.textproto") +
                                " --set=model.width=" + width + " --run_dir=" + folder_.File("run");
    EXPECT_EQ(Status(Spawn({"bash", "-c", command})), 2);
    const std::string said = folder_.Read("output");
    EXPECT_NE(said.find(sentence), std::string::npos) << said;
    EXPECT_EQ(said.find("***"), std::string::npos) << "a stack trace: " << said;
  }
}

TEST_F(ProgramTest, WhatIsLeftOutOfTheTextIsTold) {
  folder_.Write("text/a.jsonl", "{\"text\": \"good morning\"}\n{\"text\": null}\n");
  folder_.Write("text/b.txt.gz", "packed");
  const std::string text = "--text=" + folder_.File("text");
  const std::string vocabulary = folder_.File("vocab.txt");
  const std::vector<std::vector<std::string>> commands = {
      {TREEFORMER, "vocab", text, "--output=" + vocabulary, "--skip_bad_documents"},
      {TREEFORMER, "prepare", text, "--vocabulary=" + vocabulary, "--skip_bad_documents",
       "--output=" + folder_.File("a.tokens")}};
  for (const std::vector<std::string>& command : commands) {
    std::filesystem::remove(folder_.File("output"));
    EXPECT_EQ(Status(Spawn(command)), 0);
    const std::string said = folder_.Read("output");
    EXPECT_NE(said.find("left out: 1 of other suffixes (b.txt.gz)\n"), std::string::npos) << said;
    EXPECT_NE(said.find("1 bad documents skipped:\n  " + folder_.File("text/a.jsonl") +
                        ", line 2: field 'text' is null"),
              std::string::npos)
        << said;
  }
}

// `prepare` reads text once; `train` reads it for the vocabulary and for the tokens.
TEST_F(ProgramTest, APipeIsTextForPrepareAndRefusedByTrain) {
  folder_.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n");
  const std::string treeformer = "echo good good | " + std::string(TREEFORMER);
  const std::string prepare =
      treeformer + " prepare --text=/dev/stdin --vocabulary=" + folder_.File("vocab.txt") +
      " --output=" + folder_.File("a.tokens");
  EXPECT_EQ(Status(Spawn({"bash", "-c", prepare})), 0);
  EXPECT_NE(folder_.Read("output").find("2 tokens, 0.000 % unknown"), std::string::npos);
  const std::string train = treeformer +
                            " train --text=/dev/stdin --config=" + folder_.File("run.textproto") +
                            " --run_dir=" + folder_.File("run");
  EXPECT_EQ(Status(Spawn({"bash", "-c", train})), 2);
  EXPECT_NE(folder_.Read("output").find("/dev/stdin is a pipe, which can be read only once"),
            std::string::npos)
      << folder_.Read("output");
}

}  // namespace

}  // namespace treeformer
