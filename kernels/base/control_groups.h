#pragma once

// The control groups (v1 or v2) that this process lies in.

#include <fstream>
#include <string>

namespace treeformer {

// Calls visit(folder, is_v2) for the groups of `controller` of the process, and for those above
// them.  `groups`: /proc/self/cgroup, `mount`: /sys/fs/cgroup.  In a container the paths in
// `groups` may lie outside `mount`: then those above them are there.
template <typename Visit>
void ForEachControlGroup(const std::string& controller, const std::string& groups,
                         const std::string& mount, const Visit& visit) {
  std::ifstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(":/", first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find("," + controller + ",") == std::string::npos) continue;
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      visit(mount + (v2 ? "" : "/" + controller) + path, v2);
      if (path.empty()) break;
    }
  }
}

}  // namespace treeformer
