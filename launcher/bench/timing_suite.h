#pragma once

// What the suites that time lengths of sequences share: their options and their rows as JSON.

#include <cstdint>
#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace bench {

struct TimingOptions {
  std::vector<int64_t> lengths;  // tokens of a sequence
  std::string rows;              // only rows whose name has this in it; empty: all
  std::string json;              // a file for the rows as lines of JSON; empty: none
};

class JsonLines {
 public:
  explicit JsonLines(const std::string& path);  // UserError when it cannot be written
  // Every row says its dtype and number of threads too.
  void Write(nlohmann::json row);

 private:
  std::ofstream file_;  // closed when there is none
};

}  // namespace bench
