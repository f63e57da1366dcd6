#include <algorithm>
#include <filesystem>

#include "kernels/base/user_error.h"
#include "launcher/report/nearest.h"
#include "launcher/run/run_config.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

// Beside the installed program, or in the source tree it was built from.
std::vector<fs::path> ExperimentDirectories() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return {program.parent_path().parent_path() / "share/treeformer/experiments",
          fs::path(TREEFORMER_SOURCE_DIR) / "launcher/experiments"};
}

}  // namespace

std::string FindExperiment(const std::string& name) {
  std::error_code error;
  if (fs::is_regular_file(name, error)) return name;
  std::vector<std::string> shipped;
  for (const fs::path& directory : ExperimentDirectories()) {
    const fs::path path = directory / (name + ".textproto");
    if (fs::is_regular_file(path, error)) return path;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      const std::string stem = entry.path().stem();
      if (std::find(shipped.begin(), shipped.end(), stem) == shipped.end()) shipped.push_back(stem);
    }
  }
  std::sort(shipped.begin(), shipped.end());
  std::string list;
  for (const std::string& experiment : shipped) list += (list.empty() ? "" : ", ") + experiment;
  throw UserError(Sentence("--config=", name, " is neither a file nor a shipped experiment",
                           DidYouMean(name, shipped), "; shipped: ", list));
}

}  // namespace treeformer
