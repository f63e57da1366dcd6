#pragma once

// What RunOperatorSuite prints, and writes as lines of JSON.

#include <ostream>
#include <string>
#include <vector>

#include "launcher/bench/timing/machine_rates.h"
#include "launcher/bench/timing/operator_work.h"
#include "launcher/bench/timing/timing_suite.h"

namespace treeformer::bench {

struct Measured {
  std::string pass;
  double seconds = 0;
  Work work;
  int64_t held_bytes = 0;
};

struct MeasuredRow {
  double density = 1;
  double useful_share = 1;  // of the scores that the GPU's forward kernel computes; TC has none
  std::vector<Measured> passes;
};

class OperatorTable {
 public:
  OperatorTable(const TimingOptions& options, std::ostream& out);

  void AddRates(const MachineRates& rates, int64_t matmul);  // the head of the table
  void Add(const ModuleSize& size, const std::string& name, const MeasuredRow& row);
  void LeaveOut(const ModuleSize& size, const std::string& name, const std::string& why);

 private:
  void AddPass(const ModuleSize& size, const std::string& name, const MeasuredRow& row,
               const Measured& measured);

  const std::string run_;
  std::ostream& out_;
  JsonLines json_;
};

}  // namespace treeformer::bench
