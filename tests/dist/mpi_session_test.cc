// Starts itself under mpirun, once for each way in which a rank can end, and reads what comes back.

#include "dist/mpi_session.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernels/base/user_error.h"
#include "kernels/runtime/check.h"

namespace treeformer::dist {
namespace {

struct Outcome {
  int status;
  std::string output;

  int Occurrences(const std::string& text) const {
    int count = 0;
    for (size_t at = 0; (at = output.find(text, at)) != std::string::npos; ++at) ++count;
    return count;
  }
};

Outcome RunShell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  CHECK(pipe != nullptr);
  std::array<char, 4096> block;
  while (size_t bytes = fread(block.data(), 1, block.size(), pipe)) {
    outcome.output.append(block.data(), bytes);
  }
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::string Self() { return std::filesystem::read_symlink("/proc/self/exe"); }

Outcome RunRanks(const std::string& mode) {
  return RunShell("timeout 30 " MPIRUN " -n 3 --oversubscribe '" + Self() + "' --mode=" + mode);
}

TEST(MpiSession, AnOrderlyEndIsZero) {
  const Outcome outcome = RunRanks("done");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.Occurrences("3 ranks"), 3) << outcome.output;
}

TEST(MpiSession, AFailureOfAllRanksIsSaidOnce) {
  const Outcome outcome = RunRanks("all_fail");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.Occurrences("no such file"), 1) << outcome.output;
  EXPECT_EQ(outcome.Occurrences("MPI_ABORT"), 0) << outcome.output;
}

TEST(MpiSession, AFailureOfOneRankEndsTheOthersInTheirCollective) {
  const Outcome outcome = RunRanks("one_fails");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.Occurrences("rank 1: no such file"), 1) << outcome.output;
}

TEST(MpiSession, AFailedCheckOfOneRankEndsTheJob) {
  const Outcome outcome = RunRanks("check_fails");
  EXPECT_EQ(outcome.status, kInternalError);
  EXPECT_EQ(outcome.Occurrences("Check failed: 1 == 2"), 1) << outcome.output;
}

TEST(MpiSession, APlainProcessIsOneRank) {
  const Outcome outcome = RunShell("'" + Self() + "' --mode=done");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "1 ranks\n");
}

TEST(MpiSession, OneOfSeveralProcessesThatSeesNoOtherIsRefused) {
  const Outcome outcome =
      RunShell("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 '" + Self() + "' --mode=done");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.Occurrences("srun started 4 processes"), 1) << outcome.output;
}

// The shell of `srun --pty bash`, where Open MPI finds no PMI and would end the process.
TEST(MpiSession, TheOnlyTaskOfAStepOfSlurmNeedsNoMpi) {
  const Outcome outcome = RunShell(
      "SLURM_JOB_ID=77 SLURM_STEP_ID=0 SLURM_NODELIST=$(hostname) SLURM_STEP_NUM_TASKS=1 "
      "SLURM_PROCID=0 '" +
      Self() + "' --mode=done");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "1 ranks\n");
}

TEST(MpiSession, BeforeMpiTheFirstProcessSpeaksForAll) {
  const Outcome outcome = RunRanks("fails_before");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.Occurrences("no such flag"), 1) << outcome.output;
}

TEST(MpiSession, AnExceptionThatLeavesAThreadEndsTheJob) {
  const Outcome outcome = RunRanks("thread_throws");
  EXPECT_EQ(outcome.status, kInternalError);
  EXPECT_EQ(outcome.Occurrences("uncaught in a thread: of rank 1"), 1) << outcome.output;
}

TEST(MpiSession, AMessageShorterThanTheBufferForItEndsTheJob) {
  const Outcome outcome = RunRanks("short_message");
  EXPECT_EQ(outcome.status, kInternalError);
  EXPECT_EQ(outcome.Occurrences("elements of a message, and of the buffer for it"), 1)
      << outcome.output;
}

// What a rank does.
int Rank(const std::string& mode, MpiSession& session) {
  if (mode == "fails_before") session.Fail("no such flag", /*status=*/2);
  session.Start();
  Communicator& comm = session.communicator();
  comm.Barrier();
  if (mode == "all_fail" || (mode == "one_fails" && comm.rank() == 1)) {
    session.Fail("no such file", /*status=*/2);
  }
  if (mode == "thread_throws" && comm.rank() == 1) {
    std::thread([] { throw std::runtime_error("of rank 1"); }).join();
  }
  if (mode == "check_fails" && comm.rank() == 2) CHECK_EQ(1, 2);
  if (mode == "short_message") {
    std::array<int32_t, 3> words = {};
    if (comm.rank() == 0) comm.Send(View<int32_t>(words.data(), {2}), /*to=*/1, nullptr);
    if (comm.rank() == 1) comm.Receive(View<int32_t>(words.data(), {3}), /*from=*/0, nullptr);
  }
  comm.Barrier();
  std::cout << std::to_string(comm.size()) + " ranks\n";
  return 0;
}

}  // namespace
}  // namespace treeformer::dist

int main(int argc, char** argv) {
  const std::string mode = argc == 2 ? argv[1] : "";
  if (!mode.starts_with("--mode=")) {
    testing::InitGoogleTest(&argc, argv);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", /*overwrite=*/1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    return RUN_ALL_TESTS();
  }
  try {
    google::InitGoogleLogging(argv[0]);
    FLAGS_logtostderr = true;
    treeformer::dist::MpiSession session;
    return treeformer::dist::Rank(mode.substr(7), session);
  } catch (const treeformer::UserError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
