#pragma once

// Benchmark suites, `treeformer bench --suite=NAME`.  A suite is a function of launcher/bench/ and
// an entry of the list in launcher/commands/bench_command.cc.

#include <functional>
#include <string>
#include <vector>

#include "dist/communicator.h"

namespace treeformer {

struct BenchSuite {
  std::string name;
  std::string purpose;                          // one line
  std::function<int(dist::Communicator&)> run;  // returns the exit status
};

}  // namespace treeformer
