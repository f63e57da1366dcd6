#include "kernels/base/unfinished_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/output_file.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

// In a process of its own, which ends without unwinding.
TEST(UnfinishedFile, IsRemovedWhereAWholeOneStays) {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    OutputFile whole(folder.File("whole")), half(folder.File("half"));
    whole.Append("all", 3);
    whole.Commit();
    half.Append("part", 4);
    half.Sync();
    const bool was_there = std::filesystem::exists(folder.File("half") + kUnfinishedSuffix);
    RemoveUnfinishedFiles();
    _exit(was_there ? 5 : 6);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 5);
  EXPECT_EQ(folder.Read("whole"), "all");
  EXPECT_FALSE(std::filesystem::exists(folder.File("half") + kUnfinishedSuffix));
}

}  // namespace
}  // namespace treeformer::datasets
