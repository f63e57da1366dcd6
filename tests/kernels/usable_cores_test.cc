#include "kernels/base/usable_cores.h"

#include <gtest/gtest.h>

#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

class UsableCoresTest : public testing::Test {
 protected:
  std::optional<int> Quota(const std::string& groups) {
    return QuotaCores(folder_.Write("cgroup", groups), folder_.File("mount"));
  }
  TemporaryFolder folder_;
};

TEST_F(UsableCoresTest, AGroupOfVersion2HasItsQuotaAndThatOfTheGroupsAboveIt) {
  folder_.Write("mount/job/step/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota("0::/job/step\n"), std::nullopt);
  folder_.Write("mount/job/cpu.max", "400000 100000\n");
  EXPECT_EQ(Quota("0::/job/step\n"), 4);
  folder_.Write("mount/job/step/cpu.max", "250000 100000\n");
  EXPECT_EQ(Quota("0::/job/step\n"), 2);  // a third thread would wait half of its time
  folder_.Write("mount/cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota("0::/job/step\n"), 1);
}

TEST_F(UsableCoresTest, AGroupOfVersion1HasItsQuotaToo) {
  const std::string groups = "5:memory:/elsewhere\n4:cpu,cpuacct:/docker/7f\n0::/\n";
  EXPECT_EQ(Quota(groups), std::nullopt);
  folder_.Write("mount/cpu/docker/7f/cpu.cfs_quota_us", "-1\n");
  folder_.Write("mount/cpu/docker/7f/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(groups), std::nullopt);
  folder_.Write("mount/cpu/docker/7f/cpu.cfs_quota_us", "150000\n");
  folder_.Write("mount/cpu/docker/7f/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(Quota(groups), 3);
}

// In a container the group is mounted at the root under the path it has outside.
TEST_F(UsableCoresTest, APathThatIsNotMountedIsLookedForAbove) {
  folder_.Write("mount/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota("0::/kubepods/pod1/7f\n"), 2);
  EXPECT_EQ(Quota("0::/../..\n"), 2);
}

TEST_F(UsableCoresTest, WhatIsNotInTheFormOfGroupsIsNoQuota) {
  EXPECT_EQ(QuotaCores(folder_.File("none"), folder_.File("none")), std::nullopt);
  folder_.Write("mount/cpu.max", "many 100000\n");
  EXPECT_EQ(Quota("0::/\n\nx\n::\n7:cpu\n0::relative\n"), std::nullopt);
}

TEST_F(UsableCoresTest, AreThoseOfTheAffinityAtMost) {
  EXPECT_GE(UsableCores(), 1);
  EXPECT_LE(UsableCores(), AffineCores());
}

}  // namespace

}  // namespace treeformer
