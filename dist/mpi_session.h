#pragma once

// MpiSession: the ranks of the job, and how it ends.
//
// It begins as one rank with MPI off; Start() makes it one of the ranks that mpirun or srun
// started, and the destructor ends MPI.  A process that was started alone never needs MPI: it stays
// rank 0 of 1.  One of several processes that sees only itself (no MPI in this build, or srun
// without PMIx) is refused with a UserError: it would train alone, several times.
//
// A failed CHECK, or an exception that nobody catches, on one rank takes the whole job down with
// status kInternalError.  Construct it after google::InitGoogleLogging, which would undo that.

#include <memory>
#include <optional>
#include <string>

#include "dist/communicator.h"
#include "dist/launch_environment.h"

namespace treeformer::dist {

constexpr int kInternalError = 70;  // exit status: a wrong state inside, no use in trying again

class MpiSession {
 public:
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  ~MpiSession();

  // The first of the processes that were started together: it does alone what needs no ranks.
  bool is_first() const { return !launch_ || launch_->rank == 0; }
  void Start();
  Communicator& communicator() { return *communicator_; }

  // Ends this process with `status` after printing `sentence` on stderr.  Where all ranks fail
  // within kPatience seconds, each different sentence is printed once and MPI ends in order;
  // otherwise the job is aborted, so that nobody waits for this rank.  Before Start() the first
  // process speaks for all; the others end with 0, which leaves the job's status to it.
  static constexpr double kPatience = 2;
  [[noreturn]] void Fail(const std::string& sentence, int status);

 private:
  std::optional<LaunchEnvironment> launch_;
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace treeformer::dist
