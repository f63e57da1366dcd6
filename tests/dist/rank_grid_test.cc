#include "dist/rank_grid.h"

#include <set>
#include <vector>

#include "dist/local_communicator.h"
#include "kernels/base/user_error.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

// All grids of `ranks` ranks.
std::vector<GridSizes> GridsOf(int ranks) {
  std::vector<GridSizes> grids;
  for (int data = 1; data <= ranks; ++data) {
    for (int pipeline = 1; data * pipeline <= ranks; ++pipeline) {
      const int sequence = ranks / (data * pipeline);
      if (data * pipeline * sequence == ranks) grids.push_back({data, pipeline, sequence});
    }
  }
  return grids;
}

TEST(RankGrid, EveryPlaceHasOneRankAndEveryRankOnePlace) {
  for (int ranks : {1, 2, 6, 8, 30}) {
    for (const GridSizes& sizes : GridsOf(ranks)) {
      std::set<int> seen;
      for (int pipeline = 0; pipeline < sizes.pipeline; ++pipeline) {
        for (int data = 0; data < sizes.data; ++data) {
          for (int sequence = 0; sequence < sizes.sequence; ++sequence) {
            const GridPlace place{data, pipeline, sequence};
            const int rank = RankOf(sizes, place);
            EXPECT_EQ(PlaceOf(sizes, rank), place);
            EXPECT_TRUE(0 <= rank && rank < ranks);
            seen.insert(rank);
          }
        }
      }
      EXPECT_EQ(std::ssize(seen), ranks);
    }
  }
}

TEST(RankGrid, RanksOfASequenceAreNeighboursAndStagesAreFurthestApart) {
  const GridSizes sizes{.data = 3, .pipeline = 2, .sequence = 4};
  EXPECT_EQ(RankOf(sizes, {0, 0, 1}), 1);
  EXPECT_EQ(RankOf(sizes, {1, 0, 0}), 4);
  EXPECT_EQ(RankOf(sizes, {0, 1, 0}), 12);
}

TEST(RankGrid, SizesThatDoNotMakeTheNumberOfRanksAreRefused) {
  const std::string expected = "; expected sizes of at least 1 whose product is ";
  EXPECT_REFUSED(RequireGrid({.data = 2, .pipeline = 3, .sequence = 1}, 8),
                 "a grid of data 2 x pipeline 3 x sequence 1 does not hold the 8 ranks of this "
                 "job" +
                     expected + "8");
  EXPECT_REFUSED(RequireGrid({.data = -1, .pipeline = -1, .sequence = 1}, 1),
                 "does not hold the 1 rank of this job");
  EXPECT_REFUSED(RequireGrid({.data = 1 << 16, .pipeline = 1 << 16, .sequence = 1}, 0),
                 "data 65536 x pipeline 65536");
  RunLocalRanks(2, [](Communicator& world) {
    EXPECT_REFUSED(RankGrid(world, {.data = 3}), "does not hold the 2 ranks");
  });
}

// The ranks in the world of a group, in its order.
std::vector<double> RanksIn(Communicator& group, int rank) { return group.AllGather(rank); }

std::vector<double> Expected(const GridSizes& sizes, GridPlace place, int GridPlace::*axis,
                             int size) {
  std::vector<double> ranks;
  for (place.*axis = 0; place.*axis < size; ++(place.*axis)) ranks.push_back(RankOf(sizes, place));
  return ranks;
}

TEST(RankGrid, EachGroupHoldsTheRanksAlongItsAxisInTheirOrder) {
  for (int ranks : {1, 2, 4, 8}) {
    for (const GridSizes& sizes : GridsOf(ranks)) {
      RunLocalRanks(ranks, [&](Communicator& world) {
        RankGrid grid(world, sizes);
        const GridPlace place = grid.place();
        EXPECT_EQ(RankOf(sizes, place), world.rank());
        EXPECT_EQ(&grid.world(), &world);
        EXPECT_EQ(grid.data().name(), "data");
        EXPECT_EQ(grid.pipeline().name(), "pipeline");
        EXPECT_EQ(grid.sequence().name(), "sequence");
        EXPECT_EQ(grid.data().rank(), place.data);
        EXPECT_EQ(grid.pipeline().rank(), place.pipeline);
        EXPECT_EQ(grid.sequence().rank(), place.sequence);
        EXPECT_EQ(RanksIn(grid.data(), world.rank()),
                  Expected(sizes, place, &GridPlace::data, sizes.data));
        EXPECT_EQ(RanksIn(grid.pipeline(), world.rank()),
                  Expected(sizes, place, &GridPlace::pipeline, sizes.pipeline));
        EXPECT_EQ(RanksIn(grid.sequence(), world.rank()),
                  Expected(sizes, place, &GridPlace::sequence, sizes.sequence));
        testing_util::CheckCollectives(grid.data());
      });
    }
  }
}

}  // namespace
}  // namespace treeformer::dist
