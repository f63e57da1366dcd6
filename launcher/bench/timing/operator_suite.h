#pragma once

// `treeformer bench --suite=attention --device=cuda`: attention operators (routing, sort and
// attention; backward with the tree's gradient) and the module around them, over lengths, beside
// the rates of this machine.  Passes of a row:
//
//   route                     queries and keys, as training does it
//   sort                      both, and their ranges
//   forward                   the operator without projections, as evaluation does it
//   backward                  of a forward pass of training
//   forward+backward          of training
//   layer forward             with the four projections
//   layer forward+backward
//
// A call's time is its share of the wall time of a group of calls (timing.h).  The operands of the
// calls are the same, so what fits a cache stays there.

#include <ostream>
#include <string>
#include <vector>

#include "launcher/bench/timing/attention_module.h"
#include "launcher/bench/timing/timing.h"
#include "launcher/bench/timing/timing_suite.h"

namespace treeformer::bench {

struct OperatorRow {
  std::string name;
  AttentionConfig attention;
  bool spread = false;  // of a TF tree: thresholds by BalancedBiases, with ...
  double density = 0;   // ... this density; 0: balanced
};

struct OperatorProblem {
  ModuleSize size;
  std::vector<OperatorRow> rows;
};

// For length 512 B 16, H 12, e 64; for every other B 1, H 16, e 64; for 8,192 also B 1, H 8, e 96.
std::vector<OperatorProblem> MakeOperatorProblems(const std::vector<int64_t>& lengths);

struct OperatorSuiteSizes {               // tests take smaller ones
  int64_t copy_bytes = int64_t{1} << 30;  // of the copy and
  int64_t matmul = 8192;                  // the matrix product that give the machine's rates
  int64_t sample = 16384;                 // rows by which trees are balanced
  double group_seconds = kGroupSeconds;   // of the operators' calls
};

// On options.device.  A problem that the device's memory cannot hold is told and left out.
void RunOperatorSuite(const TimingOptions& options, const std::vector<OperatorProblem>& problems,
                      const OperatorSuiteSizes& sizes, std::ostream& out);

}  // namespace treeformer::bench
