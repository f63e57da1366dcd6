#pragma once

// `treeformer bench --suite=attention`: one self-attention module (8 heads, width 768, batch 1: the
// paper's Table 4) with full attention and with trees, over lengths.  Forward, and forward with
// backward (FLIP for TF).

#include <ostream>

#include "launcher/bench/timing/timing_suite.h"

namespace treeformer::bench {

void RunAttentionSuite(const TimingOptions& options, std::ostream& out);

}  // namespace treeformer::bench
