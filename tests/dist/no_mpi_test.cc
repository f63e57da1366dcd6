// MpiSession in a build without MPI.

#include <gtest/gtest.h>

#include <cstdlib>

#include "dist/mpi_session.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

TEST(NoMpi, APlainProcessIsOneRank) {
  MpiSession session;
  EXPECT_EQ(session.communicator().size(), 1);
}

TEST(NoMpi, OneOfSeveralProcessesIsRefused) {
  setenv("OMPI_COMM_WORLD_SIZE", "2", /*overwrite=*/1);
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  MpiSession session;
  EXPECT_FALSE(session.is_first());
  EXPECT_THROW(session.Start(), UserError);
  unsetenv("OMPI_COMM_WORLD_SIZE");
  unsetenv("OMPI_COMM_WORLD_RANK");
}

TEST(NoMpi, AFailureEndsTheProcessWithItsSentence) {
  MpiSession session;
  EXPECT_EXIT(session.Fail("no such file", /*status=*/2), testing::ExitedWithCode(2),
              "no such file");
}

}  // namespace
}  // namespace treeformer::dist
