#include "dist/launch_environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/user_error.h"

namespace dist {
namespace {

class LaunchEnvironmentTest : public testing::Test {
 protected:
  void SetUp() override { Clear(); }
  void TearDown() override { Clear(); }

 private:
  static void Clear() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}) {
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
  EXPECT_EQ(DetectLauncher()->size, 3);
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  EXPECT_EQ(DetectLauncher()->launcher, "srun");
  EXPECT_EQ(DetectLauncher()->size, 4);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  EXPECT_EQ(DetectLauncher()->launcher, "mpirun");
  EXPECT_EQ(DetectLauncher()->size, 2);
}

TEST_F(LaunchEnvironmentTest, ASizeThatIsNoNumberIsRefused) {
  for (const char* size : {"", "0", "-2", "4x"}) {
    setenv("PMI_SIZE", size, 1);
    EXPECT_THROW(DetectLauncher(), UserError) << size;
  }
}

}  // namespace
}  // namespace dist
