// The program itself: it fails at a fault point, and is started again.

#include <signal.h>
#include <stdlib.h>

#include "dist/mpi_session.h"
#include "kernels/base/output_file.h"
#include "tests/launcher/program.h"

namespace treeformer {

namespace {

class FaultTest : public ProgramTest {
 protected:
  // `ranks` 0: the program without mpirun.
  pid_t StartRun(const std::string& run, int ranks = 0) {
    if (ranks == 0) return Start(run);
#ifdef MPIRUN
    return Spawn({MPIRUN, "-n", std::to_string(ranks), "--oversubscribe", TREEFORMER, "train",
                  "--config=" + folder_.File("run.textproto"), "--threads=1",
                  "--run_dir=" + folder_.File(run)});
#else
    ADD_FAILURE() << "this build has no MPI";
    return -1;
#endif
  }
  pid_t StartWithFault(const std::string& fault, const std::string& run, int ranks = 0) {
    setenv("TREEFORMER_FAULT", fault.c_str(), /*overwrite=*/1);
    const pid_t pid = StartRun(run, ranks);
    unsetenv("TREEFORMER_FAULT");
    return pid;
  }
  // The same command goes on, and its metrics are those of a run without the fault.
  void ExpectTheRunGoesOn(int ranks = 0) {
    EXPECT_EQ(Status(StartRun("run", ranks)), 0) << folder_.Read("output");
    EXPECT_NE(folder_.Read("output").find("going on from"), std::string::npos);
    EXPECT_EQ(Status(StartRun("undisturbed", ranks)), 0) << folder_.Read("output");
    EXPECT_EQ(ParseMetrics(folder_.Read("run/metrics.jsonl")),
              ParseMetrics(folder_.Read("undisturbed/metrics.jsonl")));
  }
  bool Exists(const std::string& name) const {
    return std::filesystem::exists(folder_.File("run/checkpoints/" + name));
  }
};

TEST_F(FaultTest, KilledBeforeACheckpointHasItsNameTheRunGoesOnFromTheOneBefore) {
  const pid_t pid = StartWithFault("checkpoint.before_rename:2:kill", "run");
  EXPECT_EQ(Status(pid), 1000 + SIGKILL);
  EXPECT_TRUE(Exists("step_4"));
  EXPECT_FALSE(Exists("step_8"));
  EXPECT_TRUE(Exists(std::string("step_8") + kUnfinishedSuffix));
  ExpectTheRunGoesOn();
  EXPECT_NE(folder_.Read("output").find("checkpoints/step_4"), std::string::npos);
  EXPECT_FALSE(Exists(std::string("step_8") + kUnfinishedSuffix));
}

// Step 15 is in the last of three stages, between two checkpoints.
TEST_F(FaultTest, KilledBetweenAnUpdateAndItsReportTheRunGoesOnAsIfItHadNotBeen) {
  EXPECT_EQ(Status(StartWithFault("update.before_report:15:kill", "run")), 1000 + SIGKILL);
  EXPECT_TRUE(Exists("step_12"));
  ExpectTheRunGoesOn();
}

TEST_F(FaultTest, AnExceptionBetweenAnUpdateAndItsReportIsAFaultOfTheProgram) {
  EXPECT_EQ(Status(StartWithFault("update.before_report:6:throw", "run")), dist::kInternalError);
  EXPECT_NE(folder_.Read("output").find("a fault of the program: visit 6 to update.before_report"),
            std::string::npos)
      << folder_.Read("output");
  ExpectTheRunGoesOn();
}

TEST_F(FaultTest, AProcessThatIsStoppedAndContinuedEndsAsIfItHadNotBeen) {
  const pid_t pid = StartWithFault("update.before_report:5:stop", "run");
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_TRUE(WIFSTOPPED(status)) << status;
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
  EXPECT_EQ(kill(pid, SIGCONT), 0);
  EXPECT_EQ(Status(pid), 0) << folder_.Read("output");
  EXPECT_EQ(Status(Start("undisturbed")), 0) << folder_.Read("output");
  EXPECT_EQ(ParseMetrics(folder_.Read("run/metrics.jsonl")),
            ParseMetrics(folder_.Read("undisturbed/metrics.jsonl")));
}

TEST_F(FaultTest, AFaultThatIsNoneIsRefusedAtTheStartWithOneSentence) {
  EXPECT_EQ(Status(StartWithFault("checkpoint.after_rename:1:kill", "run")), 2);
  EXPECT_EQ(folder_.Read("output"),
            "treeformer: TREEFORMER_FAULT is \"checkpoint.after_rename:1:kill\"; expected "
            "NAME:VISIT:ACTION with one of the names checkpoint.before_rename, "
            "update.before_report, a visit from 1 on, and kill, stop, throw or sleep=SECONDS\n");
  EXPECT_FALSE(std::filesystem::exists(folder_.File("run")));
}

// Rank 0 alone writes checkpoints.
TEST_F(FaultTest, ARankThatIsKilledEndsTheJobAndTheSameRanksGoOn) {
#ifndef MPIRUN
  GTEST_SKIP() << "this build has no MPI";
#else
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", /*overwrite=*/1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  const int status = Status(StartWithFault("checkpoint.before_rename:2:kill", "run", /*ranks=*/2));
  EXPECT_EQ(status, 128 + SIGKILL) << folder_.Read("output");
  EXPECT_TRUE(Exists("step_4"));
  EXPECT_FALSE(Exists("step_8"));
  ExpectTheRunGoesOn(/*ranks=*/2);
#endif
}

}  // namespace

}  // namespace treeformer
