#include "dist/local_communicator.h"

#include <atomic>
#include <cmath>

#include "kernels/base/user_error.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

class LocalCommunicatorDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST(LocalCommunicator, EveryCollectiveIsExactOnEveryNumberOfRanks) {
  for (int size : {1, 2, 3, 8}) {
    RunLocalRanks(size, [size](Communicator& comm) {
      EXPECT_EQ(comm.size(), size);
      EXPECT_EQ(comm.local_rank(), comm.rank());
      testing_util::CheckCollectives(comm);
      testing_util::CheckSameBitsOnAllRanks(comm);
    });
  }
}

TEST(LocalCommunicator, ASingleRankIsItsOwnSum) {
  const std::unique_ptr<Communicator> comm = MakeSingleRank();
  testing_util::CheckCollectives(*comm);
  std::vector<float> value{-0.0f};
  comm->AllReduceSum(testing_util::Whole(value), nullptr);
  EXPECT_TRUE(std::signbit(value[0]));  // kept bit for bit
}

TEST(LocalCommunicator, NobodyPassesABarrierBeforeAllHaveCome) {
  std::atomic<int> arrived = 0;
  RunLocalRanks(8, [&](Communicator& comm) {
    for (int round = 1; round <= 20; ++round) {
      ++arrived;
      comm.Barrier();
      EXPECT_GE(arrived, 8 * round);
    }
  });
}

TEST(LocalCommunicator, AnExceptionOfAllRanksReachesTheCaller) {
  EXPECT_THROW(RunLocalRanks(3, [](Communicator&) { throw UserError("no such file"); }), UserError);
}

TEST_F(LocalCommunicatorDeathTest, ARankThatThrowsWhileOthersWaitIsNamed) {
  const auto work = [](Communicator& comm) {
    if (comm.rank() == 1) throw UserError("no such file");
    comm.Barrier();
  };
  EXPECT_DEATH(RunLocalRanks(3, work), "rank 1 has ended: no such file");
}

TEST_F(LocalCommunicatorDeathTest, ARankThatReturnsWhileOthersWaitIsNamed) {
  const auto work = [](Communicator& comm) {
    if (comm.rank() != 2) comm.Sum(1);
  };
  EXPECT_DEATH(RunLocalRanks(3, work), "rank 2 has ended: its work is done");
}

TEST_F(LocalCommunicatorDeathTest, CallsThatDisagreeAreFatal) {
  const auto work = [](Communicator& comm) {
    std::vector<float> values(3 + comm.rank());
    comm.AllReduceSum(testing_util::Whole(values), nullptr);
  };
  EXPECT_DEATH(
      RunLocalRanks(2, work),
      "group world, collective 0: rank . calls all-reduce of . float32, rank . all-reduce");
}

}  // namespace
}  // namespace treeformer::dist
