#pragma once

// Who started this process: mpirun, srun, or nobody.  Read from the environment alone, so it is
// known before MPI starts, and in a build without MPI.

#include <optional>
#include <string>

namespace treeformer::dist {

struct LaunchEnvironment {
  std::string launcher;  // "mpirun" or "srun"
  int size = 1;          // processes that were started together
  int rank = 0;          // of this one
};

// Empty: a plain process.  The batch shell of a Slurm job is one too, though SLURM_NTASKS is set.
// Throws UserError where a size is not a positive number, or a rank none below it.
std::optional<LaunchEnvironment> DetectLauncher();

}  // namespace treeformer::dist
