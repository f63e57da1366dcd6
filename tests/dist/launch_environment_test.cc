#include "dist/launch_environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

class LaunchEnvironmentTest : public testing::Test {
 protected:
  void SetUp() override { Clear(); }
  void TearDown() override { Clear(); }

 private:
  static void Clear() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_STEP_NUM_TASKS",
                             "SLURM_PROCID", "PMI_SIZE", "PMI_RANK"}) {
      unsetenv(name);
    }
  }
};

TEST_F(LaunchEnvironmentTest, APlainProcessHasNoLauncher) {
  setenv("SLURM_NTASKS", "8", /*overwrite=*/1);  // as in the batch shell of a Slurm job
  EXPECT_FALSE(DetectLauncher().has_value());
}

TEST_F(LaunchEnvironmentTest, EachLauncherIsKnownByItsVariable) {
  setenv("PMI_SIZE", "3", 1);
  setenv("PMI_RANK", "2", 1);
  EXPECT_EQ(DetectLauncher()->size, 3);
  EXPECT_EQ(DetectLauncher()->rank, 2);
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  setenv("SLURM_PROCID", "3", 1);
  EXPECT_EQ(DetectLauncher()->launcher, "srun");
  EXPECT_EQ(DetectLauncher()->size, 4);
  EXPECT_EQ(DetectLauncher()->rank, 3);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  EXPECT_EQ(DetectLauncher()->launcher, "mpirun");
  EXPECT_EQ(DetectLauncher()->size, 2);
  EXPECT_EQ(DetectLauncher()->rank, 1);
}

TEST_F(LaunchEnvironmentTest, ARankThatIsNoneOfTheProcessesIsRefused) {
  setenv("PMI_SIZE", "3", 1);
  EXPECT_THROW(DetectLauncher(), UserError);  // PMI_RANK is missing
  for (const char* rank : {"", "3", "-1", "0x"}) {
    setenv("PMI_RANK", rank, 1);
    EXPECT_THROW(DetectLauncher(), UserError) << rank;
  }
}

TEST_F(LaunchEnvironmentTest, ASizeThatIsNoNumberIsRefused) {
  setenv("PMI_RANK", "0", 1);
  for (const char* size : {"", "0", "-2", "4x"}) {
    setenv("PMI_SIZE", size, 1);
    EXPECT_THROW(DetectLauncher(), UserError) << size;
  }
}

}  // namespace
}  // namespace treeformer::dist
