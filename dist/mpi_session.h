#pragma once

// MpiSession: MPI from the first line of main() to the last.
//
// Under mpirun or srun it starts MPI and ends it; a plain process is rank 0 of 1 and MPI stays off.
// A process that a launcher started as one of several, but that sees only itself (no MPI in this
// build, or srun without PMIx), is refused with a UserError: it would train alone, several times.
//
// A failed CHECK on one rank prints its stack and takes the whole job down with status
// kInternalError.  Construct it after google::InitGoogleLogging, which would undo that.

#include <memory>
#include <string>

#include "dist/communicator.h"

namespace dist {

constexpr int kInternalError = 70;  // exit status: a wrong state inside, no use in trying again

class MpiSession {
 public:
  MpiSession(int* argc, char*** argv);
  MpiSession(const MpiSession&) = delete;
  ~MpiSession();

  Communicator& communicator() { return *communicator_; }

  // Ends this process with `status` after printing `sentence` on stderr.  Where all ranks fail
  // within kPatience seconds, each different sentence is printed once and MPI ends in order;
  // otherwise the job is aborted, so that nobody waits for this rank.
  static constexpr double kPatience = 2;
  [[noreturn]] void Fail(const std::string& sentence, int status);

 private:
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace dist
