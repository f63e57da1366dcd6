#pragma once

// How many cores this process may use: those of its affinity, and no more than the CPU quota of its
// control groups, v1 or v2, gives.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include "kernels/base/control_groups.h"

namespace treeformer {

// The cores that the affinity of the calling thread names; at least 1.
inline int AffineCores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const bool known = sched_getaffinity(0, sizeof(mask), &mask) == 0;
  return std::max(1, known ? CPU_COUNT(&mask) : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

// CPU seconds a second that the group at `folder` may use; infinity without a quota.
inline double GroupQuota(const std::string& folder, bool v2) {
  std::string quota;
  double period = 0, time = 0;
  if (v2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  std::istringstream(quota) >> time;  // "max" and -1: no quota
  return time > 0 && period > 0 ? time / period : std::numeric_limits<double>::infinity();
}

// Whole cores of the tightest quota among the groups of this process and those above them, at least
// 1; nothing without a quota.
inline std::optional<int> QuotaCores(const std::string& groups = "/proc/self/cgroup",
                                     const std::string& mount = "/sys/fs/cgroup") {
  double cores = std::numeric_limits<double>::infinity();
  ForEachControlGroup("cpu", groups, mount, [&](const std::string& folder, bool v2) {
    cores = std::min(cores, GroupQuota(folder, v2));
  });
  if (cores == std::numeric_limits<double>::infinity()) return std::nullopt;
  return std::max(1, static_cast<int>(std::min(cores, 1e6)));
}

inline int UsableCores() {
  const int cores = AffineCores();
  return std::min(cores, QuotaCores().value_or(cores));
}

}  // namespace treeformer
