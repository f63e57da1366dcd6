#include "dist/launch_environment.h"

#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

struct Variables {
  const char* size;
  const char* rank;
  const char* launcher;
};

// Open MPI's mpirun, a step of Slurm, MPICH's and Intel's mpirun (whose names srun may set too).
constexpr Variables kLaunchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpirun"},
                                    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"},
                                    {"PMI_SIZE", "PMI_RANK", "mpirun"}};

// The whole number in [begin, end) that `variable` holds.
int Read(const char* variable, int begin, int end, const std::string& expected) {
  const char* value = std::getenv(variable);
  const std::string_view text(value == nullptr ? "" : value);
  int number = 0;
  const auto [stop, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || stop != text.end() || number < begin || number >= end) {
    throw UserError(
        Sentence("environment variable ", variable, " is '", text, "'; expected ", expected));
  }
  return number;
}

}  // namespace

std::optional<LaunchEnvironment> DetectLauncher() {
  for (const Variables& names : kLaunchers) {
    if (std::getenv(names.size) == nullptr) continue;
    const int size = Read(names.size, 1, std::numeric_limits<int>::max(),
                          Sentence("the number of processes ", names.launcher, " started"));
    const int rank = Read(names.rank, 0, size, Sentence("a number from 0 to ", size - 1));
    return LaunchEnvironment{names.launcher, size, rank};
  }
  return std::nullopt;
}

}  // namespace treeformer::dist
