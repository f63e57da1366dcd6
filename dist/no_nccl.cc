// NCCL's communicator when we build without NCCL.

#include "dist/nccl_communicator.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {

std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& base) {
  throw UserError(Sentence(base.size(), " ranks ask for a GPU each, but this build has no NCCL to ",
                           "connect them; expected one rank, or a build with USE_CUDA on a machine "
                           "where CMake finds NCCL"));
}

}  // namespace treeformer::dist
