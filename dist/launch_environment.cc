#include "dist/launch_environment.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "kernels/user_error.h"

namespace dist {
namespace {

struct SizeVariable {
  const char* name;
  const char* launcher;
};

// Open MPI's mpirun, MPICH's and Intel's mpirun (which srun may set too), a step of Slurm.
constexpr SizeVariable kSizeVariables[] = {
    {"OMPI_COMM_WORLD_SIZE", "mpirun"}, {"SLURM_STEP_NUM_TASKS", "srun"}, {"PMI_SIZE", "mpirun"}};

}  // namespace

std::optional<LaunchEnvironment> DetectLauncher() {
  for (const SizeVariable& variable : kSizeVariables) {
    const char* value = std::getenv(variable.name);
    if (value == nullptr) continue;
    const std::string_view text(value);
    int size = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), size);
    if (error != std::errc() || end != text.end() || size < 1) {
      throw UserError(Sentence("environment variable ", variable.name, " is '", text,
                               "'; expected the number of processes ", variable.launcher,
                               " started"));
    }
    return LaunchEnvironment{variable.launcher, size};
  }
  return std::nullopt;
}

}  // namespace dist
