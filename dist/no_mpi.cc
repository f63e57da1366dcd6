// MpiSession when we build without MPI: one rank.

#include <cstdio>
#include <cstdlib>

#include "dist/local_communicator.h"
#include "dist/mpi_session.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

void __attribute__((noreturn)) Exit() { std::_Exit(kInternalError); }

}  // namespace

MpiSession::MpiSession() : launch_(DetectLauncher()), communicator_(MakeSingleRank()) {
  google::InstallFailureFunction(Exit);
}

MpiSession::~MpiSession() = default;

void MpiSession::Start() {
  if (!launch_ || launch_->size == 1) return;
  throw UserError(Sentence(launch_->launcher, " started ", launch_->size,
                           " processes, but this build has no MPI; expected one process, or a "
                           "build on a machine where CMake finds MPI"));
}

void MpiSession::Fail(const std::string& sentence, int status) {
  if (is_first()) std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(is_first() ? status : 0);
}

}  // namespace treeformer::dist
