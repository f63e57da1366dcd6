#pragma once

// `treeformer bench --suite=attention`: one self-attention module (8 heads, width 768, batch 1: the
// paper's Table 4) with full attention and with trees, over lengths.  Forward, and forward with
// backward (FLIP for TF).

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace bench {

struct AttentionSuiteOptions {
  std::vector<int64_t> lengths;
  std::string rows;  // only rows whose name has this in it; empty: all
  std::string json;  // a file for the rows as lines of JSON; empty: none
};

void RunAttentionSuite(const AttentionSuiteOptions& options, std::ostream& out);

}  // namespace bench
