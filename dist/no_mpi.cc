// MpiSession when we build without MPI: one rank.

#include <cstdio>
#include <cstdlib>

#include "dist/launch_environment.h"
#include "dist/local_communicator.h"
#include "dist/mpi_session.h"
#include "kernels/user_error.h"

namespace dist {

MpiSession::MpiSession(int*, char***) : communicator_(MakeSingleRank()) {
  google::InstallFailureFunction([] { std::_Exit(kInternalError); });
  const std::optional<LaunchEnvironment> launch = DetectLauncher();
  if (launch && launch->size > 1) {
    throw UserError(Sentence(launch->launcher, " started ", launch->size,
                             " processes, but this build has no MPI; expected one process, or a "
                             "build on a machine where CMake finds MPI"));
  }
}

MpiSession::~MpiSession() = default;

void MpiSession::Fail(const std::string& sentence, int status) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(status);
}

}  // namespace dist
