#pragma once

// Controls: the runs that a run with trees is compared with, training.controls.
//
//   full     full attention for as many steps
//   frozen   the same plan with trees that stay as they were drawn (gradient NONE, no balance)
//
// They share the run's full-attention stage: at its end the run leaves a checkpoint in each
// control's directory, RUN/controls/NAME, with the control's configuration.  From there a control
// is a run like any other: same seeds, ranks and order of data, its own metrics and checkpoints,
// resumed in the same way; without that checkpoint it begins at step 0 and gets there by itself.

#include <string>
#include <vector>

#include "launcher/run/run_config.h"

namespace treeformer {

struct Control {
  std::string name;  // of its directory
  std::string what;  // "full attention", "frozen trees"
  config::RunConfig config;
};

// The controls of a run with training.controls, in the order in which they run; else none.
std::vector<Control> ControlsOf(const config::RunConfig& config);

std::string ControlDirectory(const std::string& run_directory, const Control& control);

// Makes the control's directory, which shares RUN/data.  On rank 0.
void MakeControlDirectory(const std::string& run_directory, const Control& control);

}  // namespace treeformer
