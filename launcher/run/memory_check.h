#pragma once

// Checks whether the largest stage of a plan fits into memory, at the start of a run and not after
// days.  A boundary between stages needs no more than the larger of the two
// (core/training/carry.h).

#include <string>

#include "core/training/bootstrap_plan.h"
#include "dist/communicator.h"
#include "launcher/report/progress.h"
#include "launcher/run/cost.h"

namespace treeformer {

struct StageMemory {
  int index = 0;
  MemoryCost cost;
};

// The stage that needs most; of several, the first.
StageMemory LargestStage(const BootstrapPlan& plan, const BatchShape& micro_batch, DType dtype);

struct HostMemory {      // bytes, for all processes of the machine together
  double limit = 0;      // memory and swap, or what the cgroup grants of it
  double available = 0;  // as things are now, without swap
};

// Infinite where the system does not tell.  `root`: the folder of /proc and /sys, for tests.
HostMemory ReadHostMemory(const std::string& root = "");

// Throws UserError naming the stage, its need and what there is: on a GPU where its free memory
// does not suffice; on a CPU, where memory is promised before there is any and others may give
// theirs back, only where this machine's ranks need more than its limit.  More than is available is
// a warning.
void RequireMemory(Context& ctx, const dist::Communicator& communicator, const BootstrapPlan& plan,
                   const BatchShape& micro_batch, Progress& progress);

}  // namespace treeformer
