#pragma once

// `treeformer bench --suite=router`: how the estimators of a routing decision's gradient compare on
// tasks that need routing (core/attention/README.md, 3).  Every row is trained from the same seed
// on the same batches.

#include <cstdint>
#include <ostream>
#include <string>

namespace treeformer::bench {

struct RouterSuiteOptions {
  std::string text = "/usr/include/c++";  // for the character task: source code
  int64_t steps = 1500;                   // of every row (matching toy: 8 / 3 of it)
  std::string task = "all";               // recall, characters, matching, or all
  std::string rows;                       // only rows whose name has this in it; empty: all
  uint64_t seed = 1;
};

// Prints each row as soon as it is known.  Throws UserError for an unknown task or no text.
void RunRouterSuite(const RouterSuiteOptions& options, std::ostream& out);

}  // namespace treeformer::bench
