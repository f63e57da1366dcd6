#pragma once

// What a finished run says: its held-out loss among the baselines, and, where controls have run,
// the comparison with full attention and with frozen trees.

#include <optional>
#include <string>
#include <vector>

#include "launcher/training/baselines.h"
#include "launcher/training/evaluation.h"
#include "launcher/training/training_report.h"

namespace treeformer {

struct RunOutcome {
  std::string what;  // "trees", "full attention", "frozen trees"
  Evaluation held_out;
  SpeedTotals whole;                 // of the run
  SpeedTotals after_full_attention;  // of the stages with trees, or of as many steps
  int64_t steps = 0;
};

// One line each for the baselines, the runs from the worst to the best, and the floor.
std::vector<std::string> LossTable(const Baselines& baselines, const std::vector<RunOutcome>& runs,
                                   std::optional<double> floor);

// Trees against their controls in one line; `runs` are trees, full attention, frozen trees.
std::string Verdict(const std::vector<RunOutcome>& runs);

}  // namespace treeformer
