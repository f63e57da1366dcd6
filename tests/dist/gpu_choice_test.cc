// Machines here are made up: the decision is one of plain values.

#include "dist/gpu_choice.h"

#include <gtest/gtest.h>

#include "dist/local_communicator.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

using Gpus = std::vector<std::string>;
using Indices = std::vector<int>;

std::string RefusalOf(const std::vector<RankGpus>& ranks) {
  try {
    ChooseGpus(ranks);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(GpuChoice, RanksThatSeeAllGpusOfTheirMachineTakeTheirLocalRank) {
  const Gpus a{"a0", "a1", "a2"}, b{"b0", "b1"};
  EXPECT_EQ(ChooseGpus({}), Indices{});
  EXPECT_EQ(ChooseGpus({{"a", a}}), Indices{0});
  EXPECT_EQ(ChooseGpus({{"a", a}, {"a", a}, {"a", a}}), (Indices{0, 1, 2}));
  EXPECT_EQ(ChooseGpus({{"a", a}, {"a", a}, {"b", b}, {"b", b}}), (Indices{0, 1, 0, 1}));
  // ranks go round the machines by turns
  EXPECT_EQ(ChooseGpus({{"a", a}, {"b", b}, {"a", a}, {"b", b}, {"a", a}}),
            (Indices{0, 0, 1, 1, 2}));
}

TEST(GpuChoice, RanksThatAreShownOneGpuEachTakeIt) {
  EXPECT_EQ(ChooseGpus({{"a", {"a0"}}, {"a", {"a1"}}, {"a", {"a2"}}}), (Indices{0, 0, 0}));
}

TEST(GpuChoice, RanksThatAreShownSeveralTakeTheirFirstFreeOne) {
  EXPECT_EQ(ChooseGpus({{"a", {"a0", "a1"}}, {"a", {"a2", "a3"}}}), (Indices{0, 0}));
  EXPECT_EQ(ChooseGpus({{"a", {"a0", "a1"}}, {"a", {"a1", "a0"}}}), (Indices{0, 0}));
  EXPECT_EQ(ChooseGpus({{"a", {"a0", "a1"}}, {"a", {"a0", "a1"}}, {"a", {"a0", "a1", "a2"}}}),
            (Indices{0, 1, 2}));
}

TEST(GpuChoice, MachinesOfTheSameNameAreToldApartByTheirGpus) {
  EXPECT_EQ(ChooseGpus({{"node", {"a0"}}, {"node", {"b0"}}}), (Indices{0, 0}));
}

TEST(GpuChoice, ARankWithoutGpusIsLeftToTheContextsSentence) {
  EXPECT_EQ(ChooseGpus({{"a", {}}, {"a", {}}}), (Indices{0, 0}));
  EXPECT_EQ(ChooseGpus({{"a", {"a0"}}, {"b", {}}}), (Indices{0, 0}));
}

TEST(GpuChoice, MoreRanksThanGpusAreRefusedWithBothNumbers) {
  const Gpus two{"a0", "a1"};
  EXPECT_EQ(RefusalOf({{"a", two}, {"b", {"b0"}}, {"a", two}, {"a", two}}),
            "3 ranks on a ask for a GPU each, but they see only 2 GPUs (a0, ...); start at most 2 "
            "on a machine (mpirun --map-by ppr:2:node, srun --ntasks-per-node=2), or let them see "
            "more (CUDA_VISIBLE_DEVICES, srun --gpus-per-node)");
  const std::string one = RefusalOf({{"a", {"a0"}}, {"a", {"a0"}}});
  EXPECT_TRUE(Has(one, "2 ranks on a ask for a GPU each, but they see only 1 GPU (a0);")) << one;
}

TEST(GpuChoice, TwoRanksThatAreShownOneGpuAreRefusedByName) {
  const std::string shared = RefusalOf({{"a", {"a0"}}, {"a", {"a1"}}, {"a", {"a1"}}});
  EXPECT_TRUE(Has(shared, "rank 1 on a and rank 2 on a would share GPU a1")) << shared;
  const std::string containers = RefusalOf({{"a", {"a0"}}, {"b", {"a0"}}});
  EXPECT_TRUE(Has(containers, "rank 0 on a and rank 1 on b would share GPU a0")) << containers;
}

TEST(GpuChoice, RanksTellEachOtherWhatTheySee) {
  RunLocalRanks(5, [](Communicator& comm) {
    const bool odd = comm.rank() % 2 == 1;
    const RankGpus mine =
        odd ? RankGpus{"a-long-name", {"GPU-1", "GPU-\xc3\xa4"}} : RankGpus{"b", {"x", "y", "z"}};
    EXPECT_EQ(ChooseGpu(comm, mine), comm.rank() / 2);
  });
  RunLocalRanks(3, [](Communicator& comm) {
    EXPECT_EQ(ChooseGpu(comm, RankGpus{"", {}}), 0);
    const Gpus gpus = comm.rank() == 0 ? Gpus{"only"} : Gpus{"only", "other"};
    try {
      ChooseGpu(comm, {"a", gpus});
      ADD_FAILURE() << "three ranks, two GPUs";
    } catch (const UserError& error) {  // on every rank
      EXPECT_TRUE(Has(error.what(), "rank 0 on a and rank 2 on a would share")) << error.what();
    }
  });
}

TEST(GpuChoice, OnThisMachineOneRankTakesTheFirst) {
  EXPECT_EQ(ChooseGpu(*MakeSingleRank()), 0);
  EXPECT_EQ(static_cast<int>(Context::CudaDeviceUuids().size()), Context::CudaDeviceCount());
}

}  // namespace
}  // namespace treeformer::dist
