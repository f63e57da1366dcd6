#pragma once

// MetricSums: what a head says of its targets, as named sums over one or several micro-batches and
// ranks.  The first is the loss.  Sums are added, never means, so that a micro-batch without a
// target adds nothing.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime/check.h"

namespace treeformer {

struct MetricSums {
  std::vector<std::string> names;
  std::vector<double> sums;  // by name; a name that is not there has the sum 0
  int64_t targets = 0;

  double Sum(const std::string& name) const;
  double MeanLoss() const { return Mean("loss"); }     // NaN without targets
  double Accuracy() const { return Mean("correct"); }  // of a head that predicts classes
  double Mean(const std::string& name) const { return Sum(name) / static_cast<double>(targets); }

  MetricSums& operator+=(const MetricSums& other);
};

// The sums of a head that predicts one class for each target.
inline MetricSums SumsOfClasses(double loss, int64_t correct, int64_t targets) {
  return {{"loss", "correct"}, {loss, static_cast<double>(correct)}, targets};
}

inline double MetricSums::Sum(const std::string& name) const {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return sums.at(i);
  }
  return 0;
}

inline MetricSums& MetricSums::operator+=(const MetricSums& other) {
  if (names.empty()) {
    names = other.names;
    sums.assign(names.size(), 0);
  }
  CHECK(other.names.empty() || other.names == names) << "sums of different heads";
  for (size_t i = 0; i < other.sums.size(); ++i) sums[i] += other.sums[i];
  targets += other.targets;
  return *this;
}

}  // namespace treeformer
