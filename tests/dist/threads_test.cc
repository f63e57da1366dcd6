#include "dist/threads.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <cstdlib>

#include "dist/local_communicator.h"
#include "kernels/base/usable_cores.h"

namespace treeformer::dist {
namespace {

TEST(Threads, RanksOnTheSameCoresShareThemEvenly) {
  EXPECT_EQ(ThreadsPerRank(/*cores=*/8, /*sharers=*/1), 8);
  EXPECT_EQ(ThreadsPerRank(8, 3), 2);
  EXPECT_EQ(ThreadsPerRank(2, 4), 1);
}

TEST(Threads, RanksOfAMachineShareItsQuotaEvenly) {
  EXPECT_EQ(ThreadsPerRank(/*cores=*/64, /*sharers=*/2, /*quota=*/8, /*local_ranks=*/2), 4);
  EXPECT_EQ(ThreadsPerRank(2, 1, 4, 4), 1);  // each rank on cores of its own
  EXPECT_EQ(ThreadsPerRank(2, 1, 100, 4), 2);
  EXPECT_EQ(ThreadsPerRank(64, 1, 1, 2), 1);
}

TEST(Threads, LocalRanksShareTheCoresOfThisProcess) {
  unsetenv("OMP_NUM_THREADS");
  cpu_set_t mask;
  ASSERT_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  RunLocalRanks(2, [&](Communicator& comm) {
    EXPECT_EQ(ConfigureThreads(comm), ThreadsPerRank(CPU_COUNT(&mask), 2, QuotaCores(), 2));
  });
}

TEST(Threads, TheUsersNumberRules) {
  setenv("OMP_NUM_THREADS", "3", /*overwrite=*/1);
  omp_set_num_threads(3);  // what the OpenMP runtime reads at its start
  EXPECT_EQ(ConfigureThreads(*MakeSingleRank()), 3);
  unsetenv("OMP_NUM_THREADS");
}

}  // namespace
}  // namespace treeformer::dist
