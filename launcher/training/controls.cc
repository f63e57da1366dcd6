#include "launcher/training/controls.h"

#include <filesystem>

#include "kernels/base/user_error.h"

namespace treeformer {

namespace fs = std::filesystem;
using config::Bootstrap;
using config::RunConfig;

std::vector<Control> ControlsOf(const RunConfig& config) {
  if (!config.training().controls()) return {};
  RunConfig full = config, frozen = config;
  full.mutable_training()->clear_controls();
  frozen.mutable_training()->clear_controls();

  const Bootstrap& plan = config.bootstrap();
  full.clear_bootstrap();
  full.mutable_bootstrap()->set_full_steps(plan.full_steps() + plan.tree_steps() +
                                           plan.final_steps());

  config::Attention& attention = *frozen.mutable_bootstrap()->mutable_attention();
  attention.set_gradient(config::Attention::NONE);
  attention.clear_balance();
  attention.clear_balance_weight();
  return {{"full", "full attention", full}, {"frozen", "frozen trees", frozen}};
}

std::string ControlDirectory(const std::string& run_directory, const Control& control) {
  return run_directory + "/controls/" + control.name;
}

void MakeControlDirectory(const std::string& run_directory, const Control& control) {
  const std::string directory = ControlDirectory(run_directory, control);
  std::error_code error;
  fs::create_directories(directory + "/checkpoints", error);
  if (!error && !fs::is_symlink(directory + "/data")) {
    fs::create_directory_symlink("../../data", directory + "/data", error);
  }
  if (error) throw UserError(Sentence(directory, " cannot be made: ", error.message()));
}

}  // namespace treeformer
