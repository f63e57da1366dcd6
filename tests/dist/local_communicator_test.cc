#include "dist/local_communicator.h"

#include <atomic>
#include <cmath>

#include "kernels/base/user_error.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

using testing_util::Whole;

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
  comm->AllReduceSum(Whole(value), nullptr);
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
    comm.AllReduceSum(Whole(values), nullptr);
  };
  EXPECT_DEATH(
      RunLocalRanks(2, work),
      "group world, collective 0: rank . calls all-reduce of . float32, rank . all-reduce");
}

TEST_F(LocalCommunicatorDeathTest, AMessageForABufferOfAnotherSizeOrTypeIsFatal) {
  const auto work = [](Communicator& comm) {
    std::vector<float> values(3 + comm.rank());
    if (comm.rank() == 0) comm.Send(Whole(values), 1, nullptr);
    if (comm.rank() == 1) comm.Receive(Whole(values), 0, nullptr);
  };
  EXPECT_DEATH(RunLocalRanks(2, work),
               "group world, message 0 from rank 0 to rank 1: rank . calls (send|receive) of . "
               "float32 (to|from) rank ., rank . (send|receive)");
  const auto other_type = [](Communicator& comm) {
    std::vector<float> values(3);
    std::vector<int32_t> words(3);
    if (comm.rank() == 0) comm.Send(Whole(values), 1, nullptr);
    if (comm.rank() == 1) comm.Receive(Whole(words), 0, nullptr);
  };
  EXPECT_DEATH(RunLocalRanks(2, other_type), "message 0 .* of 3 (float32|int32)");
}

TEST_F(LocalCommunicatorDeathTest, ARankThatEndsWithoutItsMessageIsNamed) {
  const auto work = [](Communicator& comm) {
    std::vector<float> values(3);
    if (comm.rank() == 0) comm.Receive(Whole(values), 2, nullptr);
  };
  EXPECT_DEATH(RunLocalRanks(3, work),
               "message 0 from rank 2 to rank 0: rank 0 waits in receive of 3 float32 from rank 2, "
               "but rank 2 has ended: its work is done");
}

TEST_F(LocalCommunicatorDeathTest, ARankThatGivesAGroupUpWhileOthersWaitThereIsNamed) {
  const auto work = [](Communicator& comm) {
    const auto group = comm.Split(/*colour=*/0, /*key=*/-comm.rank(), "reversed");
    if (comm.rank() != 0) group->Barrier();
  };
  EXPECT_DEATH(RunLocalRanks(3, work),
               "group reversed, collective 0: rank . waits in barrier, but rank 2 has ended: it "
               "has given the group up");
}

TEST_F(LocalCommunicatorDeathTest, ARankThatThrowsWhileOthersWaitInAGroupIsNamedWithItsSentence) {
  const auto work = [](Communicator& comm) {
    const auto group = comm.Split(/*colour=*/0, comm.rank(), "all");
    const auto inner = group->Split(/*colour=*/0, comm.rank(), "inner");
    if (comm.rank() == 1) throw UserError("no such file");
    inner->Barrier();
  };
  EXPECT_DEATH(RunLocalRanks(3, work), "group inner, .* rank 1 has ended: no such file");
}

TEST_F(LocalCommunicatorDeathTest, AllToAllCountsThatDisagreeAreFatal) {
  const auto work = [](Communicator& comm) {
    const std::vector<int64_t> received = {1, 1}, sent = {1, comm.rank() == 0 ? 2 : 1};
    std::vector<float> in(comm.rank() == 0 ? 3 : 2), out(2);
    comm.AllToAll(Whole(out), received, Whole(in), sent, nullptr);
  };
  EXPECT_DEATH(RunLocalRanks(2, work), "what rank 1 expects from rank 0, and what that sends");
}

TEST_F(LocalCommunicatorDeathTest, CallsThatFitNoGroupAreFatal) {
  const std::unique_ptr<Communicator> comm = MakeSingleRank();
  std::vector<float> values(3), others(4);
  std::vector<int32_t> words(3);
  std::vector<BFloat16> halves(3);
  const std::vector<int64_t> counts = {3}, negative = {-1}, two = {1, 2};
  EXPECT_DEATH(comm->Send(Whole(values), 0, nullptr), "send of 3 float32 to rank 0 on rank 0 of 1");
  EXPECT_DEATH(comm->Receive(Whole(values), 1, nullptr), "receive of 3 float32 from rank 1");
  EXPECT_DEATH(comm->Broadcast(Whole(values), 1, nullptr), "root 1 of 1 ranks");
  EXPECT_DEATH(comm->Connect({0}), "rank 0 of 1 connects to rank 0");
  EXPECT_DEATH(comm->AllGather(Whole(others), Whole(values), nullptr), "all-gather of 4 float32");
  EXPECT_DEATH(comm->AllGather(Whole(words), Whole(values), nullptr), "of different types");
  EXPECT_DEATH(comm->ReduceScatterSum(Whole(values), Whole(others), nullptr),
               "reduce-scatter of 4 float32");
  EXPECT_DEATH(comm->AllReduceSum(Whole(halves), nullptr), "sums of bfloat16 are made on GPUs");
  EXPECT_DEATH(comm->AllToAll(Whole(values), counts, Whole(others), counts, nullptr),
               "the elements of its buffer");
  EXPECT_DEATH(comm->AllToAll(Whole(values), two, Whole(values), counts, nullptr),
               "a count for each rank");
  EXPECT_DEATH(comm->AllToAll(Whole(values), counts, Whole(values), negative, nullptr),
               "count >= 0");
  EXPECT_DEATH(comm->Split(/*colour=*/-2, /*key=*/0, "none"), "a colour of group none");
}

}  // namespace
}  // namespace treeformer::dist
