// Runs under mpirun; every rank makes every check.

#include "dist/mpi_communicator.h"

#include <algorithm>

#include "dist/gradient_reducer.h"
#include "dist/mpi_session.h"
#include "dist/rank_grid.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

Communicator* g_comm = nullptr;  // of the session in main

TEST(MpiCommunicator, EveryCollectiveIsExact) { testing_util::CheckCollectives(*g_comm); }

TEST(MpiCommunicator, AllRanksHoldTheSameBits) { testing_util::CheckSameBitsOnAllRanks(*g_comm); }

TEST(MpiCommunicator, AllRanksAreOnThisMachine) {
  EXPECT_EQ(g_comm->local_size(), g_comm->size());
  EXPECT_EQ(g_comm->local_rank(), g_comm->rank());
}

TEST(MpiCommunicator, TheGroupsOfAGridHoldTheRanksAlongItsAxes) {
  const int size = g_comm->size(), two = size % 2 == 0 ? 2 : 1;
  for (const GridSizes& sizes :
       {GridSizes{.data = size}, GridSizes{.pipeline = size / two, .sequence = two},
        GridSizes{.data = two, .pipeline = size / two}}) {
    RankGrid grid(*g_comm, sizes);
    EXPECT_EQ(RankOf(sizes, grid.place()), g_comm->rank());
    for (Communicator* group : {&grid.data(), &grid.pipeline(), &grid.sequence()}) {
      EXPECT_EQ(group->local_size(), group->size());
      testing_util::CheckCollectives(*group);
    }
    EXPECT_EQ(grid.pipeline().AllGather(grid.place().pipeline),
              testing_util::OfRank<double>(0, sizes.pipeline));
  }
}

TEST(MpiCommunicator, TheReducerSumsEveryGradient) {
  constexpr int64_t kCount = 100003;
  std::vector<double> gradients(kCount);
  GradientReducer reducer(*g_comm, testing_util::Whole(gradients), /*bucket_bytes=*/1 << 16);
  for (int step = 0; step < 2; ++step) {
    std::ranges::copy(testing_util::OfRank<double>(g_comm->rank(), kCount), gradients.begin());
    for (int64_t end = kCount; end > 0; end -= 777) {
      reducer.Ready(std::max<int64_t>(0, end - 777), end);
    }
    reducer.Wait(nullptr);
    testing_util::ExpectSum(gradients, g_comm->size());
  }
}

}  // namespace
}  // namespace treeformer::dist

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  treeformer::dist::MpiSession session;
  session.Start();
  treeformer::dist::g_comm = &session.communicator();
  return RUN_ALL_TESTS();
}
