#include "dist/mpi_session.h"

#include <execinfo.h>
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <thread>

#include "dist/local_communicator.h"
#include "dist/mpi_communicator.h"
#include "kernels/base/user_error.h"
#include "kernels/runtime/check.h"

namespace treeformer::dist {
namespace {

bool MpiIsOn() {
  int started = 0;
  int ended = 0;
  MPI_CHECK(MPI_Initialized(&started));
  MPI_CHECK(MPI_Finalized(&ended));
  return started != 0 && ended == 0;
}

[[noreturn]] void Abort(int status) {
  if (MpiIsOn()) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

// What glog calls after it has printed a failed CHECK.  For clang, [[noreturn]] is no part of its
// type, which glog wants.
__attribute__((noreturn)) void OnCheckFailure() {
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  Abort(kInternalError);
}

// An exception that leaves a thread, which main() cannot catch.
[[noreturn]] void OnTerminate() {
  try {
    if (const std::exception_ptr exception = std::current_exception()) {
      std::rethrow_exception(exception);
    }
    std::fprintf(stderr, "terminated without an exception\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "uncaught in a thread: %s\n", error.what());
  } catch (...) {
    std::fprintf(stderr, "uncaught in a thread: an exception of an unknown type\n");
  }
  Abort(kInternalError);
}

// True when all ranks come here within the given time.  The communicator of the job may be busy
// with a collective that will never end, so this goes over MPI_COMM_WORLD, used for nothing else.
bool AllFail(double seconds) {
  MPI_Request request;
  MPI_CHECK(MPI_Ibarrier(MPI_COMM_WORLD, &request));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int done = 0;
  while (done == 0 && std::chrono::steady_clock::now() < deadline) {
    MPI_CHECK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return done != 0;
}

// True on the lowest of the ranks that have the same sentence.
bool IsFirstToSay(Communicator& communicator, const std::string& sentence) {
  const double mine = static_cast<double>(std::hash<std::string>()(sentence));
  const std::vector<double> all = communicator.AllGather(mine);
  for (int rank = 0; rank < communicator.rank(); ++rank) {
    if (all[rank] == mine) return false;
  }
  return true;
}

}  // namespace

MpiSession::MpiSession() : launch_(DetectLauncher()), communicator_(MakeSingleRank()) {
  google::InstallFailureFunction(&OnCheckFailure);
  std::set_terminate(&OnTerminate);
}

void MpiSession::Start() {
  if (!launch_ || launch_->size == 1) return;
  int provided = 0;
  MPI_CHECK(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided));
  CHECK_GE(provided, MPI_THREAD_SERIALIZED) << "MPI was built without threads";
  communicator_ = MakeMpiCommunicator();
  if (communicator_->size() > 1) return;
  communicator_ = MakeSingleRank();
  MPI_CHECK(MPI_Finalize());
  throw UserError(Sentence(launch_->launcher, " started ", launch_->size,
                           " processes, but MPI connects this one to no other; expected a start "
                           "by the mpirun of the same MPI, or by srun --mpi=pmix"));
}

MpiSession::~MpiSession() {
  communicator_ = nullptr;
  if (MpiIsOn()) MPI_CHECK(MPI_Finalize());
}

void MpiSession::Fail(const std::string& sentence, int status) {
  if (!MpiIsOn()) {
    if (is_first()) std::fprintf(stderr, "%s\n", sentence.c_str());
    std::exit(is_first() ? status : 0);
  }
  if (!AllFail(kPatience)) {
    std::fprintf(stderr, "rank %d: %s\n", communicator_->rank(), sentence.c_str());
    Abort(status);
  }
  if (IsFirstToSay(*communicator_, sentence)) std::fprintf(stderr, "%s\n", sentence.c_str());
  communicator_ = nullptr;
  MPI_CHECK(MPI_Finalize());
  std::exit(status);
}

}  // namespace treeformer::dist
