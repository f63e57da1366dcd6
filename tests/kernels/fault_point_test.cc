#include "kernels/base/fault_point.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <stdexcept>

#include "tests/datasets/temporary_folder.h"

namespace treeformer {
namespace {

class FaultPointTest : public testing::Test {
 protected:
  ~FaultPointTest() override { ArmFaultPoint(""); }
  static void Visit() { FaultPoint("checkpoint.before_rename"); }
};

TEST_F(FaultPointTest, NothingHappensWhereNoneIsArmed) {
  for (int i = 0; i < 3; ++i) Visit();
}

TEST_F(FaultPointTest, TheActionIsTakenOnceAtTheVisitThatIsNamed) {
  ArmFaultPoint("checkpoint.before_rename:2:throw");
  Visit();
  for (int i = 0; i < 3; ++i) FaultPoint("update.before_report");
  EXPECT_THROW(Visit(), std::runtime_error);
  Visit();
  ArmFaultPoint("checkpoint.before_rename:1:throw");
  EXPECT_THROW(Visit(), std::runtime_error);
}

TEST_F(FaultPointTest, AKillIsOneThatNobodyCanCatch) {
  ArmFaultPoint("checkpoint.before_rename:1:kill");
  EXPECT_EXIT(Visit(), testing::KilledBySignal(SIGKILL), "visit 1 to checkpoint.before_rename");
}

TEST_F(FaultPointTest, ASleepTakesItsSeconds) {
  ArmFaultPoint("checkpoint.before_rename:1:sleep=0.05");
  const auto begin = std::chrono::steady_clock::now();
  Visit();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
}

TEST_F(FaultPointTest, AnythingElseIsRefusedWithWhatIsExpected) {
  const std::string name = "checkpoint.before_rename";
  for (const std::string& bad :
       {std::string("checkpoint.after_rename:1:kill"), name, name + ":1", name + ":0:kill",
        name + ":-1:kill", name + ":one:kill", name + ":1x:kill", name + ":99999999999:kill",
        name + ":1:explode", name + ":1:kill:", name + ":1:sleep", name + ":1:sleep=",
        name + ":1:sleep=-1", name + ":1:sleep=inf", std::string(":"), std::string("::")}) {
    EXPECT_REFUSED(ArmFaultPoint(bad), "TREEFORMER_FAULT is \"" + bad +
                                           "\"; expected NAME:VISIT:ACTION with one of the names "
                                           "checkpoint.before_rename, update.before_report");
    Visit();
  }
}

TEST_F(FaultPointTest, TheEnvironmentArms) {
  setenv("TREEFORMER_FAULT", "checkpoint.before_rename:1:throw", /*overwrite=*/1);
  ArmFaultPointFromEnvironment();
  unsetenv("TREEFORMER_FAULT");
  EXPECT_THROW(Visit(), std::runtime_error);
  ArmFaultPointFromEnvironment();
  Visit();
}

}  // namespace
}  // namespace treeformer
