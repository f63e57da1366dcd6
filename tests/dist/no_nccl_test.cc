// A build without NCCL.

#include <gtest/gtest.h>

#include "dist/local_communicator.h"
#include "dist/nccl_communicator.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

TEST(NoNccl, SeveralRanksWithGpusAreRefusedWithTheBuildThatIsNeeded) {
  RunLocalRanks(2, [](Communicator& base) {
    try {
      MakeNcclCommunicator(base);
      ADD_FAILURE() << "NCCL without NCCL";
    } catch (const UserError& error) {
      EXPECT_STREQ(error.what(),
                   "2 ranks ask for a GPU each, but this build has no NCCL to connect them; "
                   "expected one rank, or a build with USE_CUDA on a machine where CMake finds "
                   "NCCL");
    }
  });
}

}  // namespace
}  // namespace treeformer::dist
