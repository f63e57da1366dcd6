// What the program takes of the machine's memory where a stage begins.

#include <sys/resource.h>

#include <algorithm>

#include "tests/launcher/program.h"

namespace treeformer {

namespace {

class BoundaryMemoryTest : public ProgramTest {
 protected:
  // Bytes, at the most.
  double PeakOfRun(const std::string& name, const std::string& steps) {
    const pid_t pid = Start(
        name, {"--set=data.stories.count=200,data.stories.mean_words=180,"
               "data.sequence_length=256,data.pack=true,model.width=128,"
               "training.batch_size=32,training.evaluate_sequences=32,training.evaluate_every=0,"
               "training.checkpoint_every=0," +
               steps});
    int status = -1;
    rusage usage{};
    EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
    EXPECT_EQ(status, 0) << folder_.Read("output");
    return 1024.0 * static_cast<double>(usage.ru_maxrss);
  }
};

// Activations of 32 sequences of 256 tokens are most of it: the model before and the model after at
// once would be half as much again.
TEST_F(BoundaryMemoryTest, ABoundaryNeedsNoMoreThanTheLargerOfItsStages) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer keeps what is freed";
#endif
  const std::string height = ",bootstrap.attention.height=1";
  const double full = PeakOfRun("full", "bootstrap.full_steps=2,bootstrap.tree_steps=0" + height);
  const double trees = PeakOfRun("trees", "bootstrap.full_steps=0,bootstrap.tree_steps=2" + height);
  const double both = PeakOfRun("both", "bootstrap.full_steps=1,bootstrap.tree_steps=1" + height);
  EXPECT_LT(both, 1.1 * std::max(full, trees)) << full << " and " << trees << " bytes";
  EXPECT_GT(full, 150e6);
}

}  // namespace

}  // namespace treeformer
