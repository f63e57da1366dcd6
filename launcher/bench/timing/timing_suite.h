#pragma once

// What the suites that time lengths of sequences share: their options and their rows as JSON.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "kernels/runtime/context.h"

namespace treeformer::bench {

struct TimingOptions {
  std::vector<int64_t> lengths;  // tokens of a sequence
  std::string rows;              // only rows whose name has this in it; empty: all
  std::string json;              // a file for the rows as lines of JSON; empty: none
  MatmulPrecision precision = MatmulPrecision::kFloat32;
  bool trained = false;  // attention suite: a row of the run of --run_dir or --checkpoint
  Device device = Device::kCpu;
};

// A new one: on the CPU in options.precision, or on the first GPU.
Context MakeContext(const TimingOptions& options);

// "bfloat16 on a GPU", "float32, 4 threads", or "products of bfloat16, ...", with a word where the
// CPU imitates them.
std::string DescribeRun(const TimingOptions& options);

class JsonLines {
 public:
  explicit JsonLines(const TimingOptions& options);  // UserError when it cannot be written
  // Every row says its device, dtype and number of threads too.  The file is whole after each, and
  // a file of before is replaced by the first.
  void Write(nlohmann::json row);

 private:
  const char *const device_, *const dtype_;
  const std::string path_;  // empty: none
  std::string rows_;
};

}  // namespace treeformer::bench
