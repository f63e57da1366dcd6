// MpiSession in a build without MPI.

#include <gtest/gtest.h>

#include <cstdlib>

#include "dist/mpi_session.h"
#include "kernels/user_error.h"

namespace dist {
namespace {

TEST(NoMpi, APlainProcessIsOneRank) {
  MpiSession session(nullptr, nullptr);
  EXPECT_EQ(session.communicator().size(), 1);
}

TEST(NoMpi, OneOfSeveralProcessesIsRefused) {
  setenv("OMPI_COMM_WORLD_SIZE", "2", /*overwrite=*/1);
  EXPECT_THROW(MpiSession(nullptr, nullptr), UserError);
  unsetenv("OMPI_COMM_WORLD_SIZE");
}

TEST(NoMpi, AFailureEndsTheProcessWithItsSentence) {
  MpiSession session(nullptr, nullptr);
  EXPECT_EXIT(session.Fail("no such file", /*status=*/2), testing::ExitedWithCode(2),
              "no such file");
}

}  // namespace
}  // namespace dist
