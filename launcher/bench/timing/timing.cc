#include "launcher/bench/timing/timing.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace treeformer::bench {
namespace {

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

double MedianSeconds(const std::function<void()>& work) {
  constexpr double kSecondsWanted = 1, kLong = 20;
  constexpr int kFewest = 5, kMost = 25;
  const double first = SecondsOf(work);
  if (first > kLong) return first;
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int>(seconds.size()) < (first > kSecondsWanted ? 3 : kFewest) ||
         (total < kSecondsWanted && static_cast<int>(seconds.size()) < kMost)) {
    seconds.push_back(SecondsOf(work));
    total += seconds.back();
  }
  return Median(seconds);
}

double MedianSecondsOnStream(Context& ctx, const std::function<void()>& work,
                             double group_seconds) {
  constexpr double kLong = 0.3;
  const auto group = [&](int calls) {
    return SecondsOf([&] {
             for (int i = 0; i < calls; ++i) work();
             ctx.Synchronize();
           }) /
           calls;
  };
  group(1);  // allocates, loads kernels
  const double one = group(1);
  const int calls = static_cast<int>(std::clamp(std::ceil(group_seconds / one), 1.0, 1000.0));
  if (calls > 1) group(calls);
  std::vector<double> seconds(one > kLong ? 3 : 7);
  std::generate(seconds.begin(), seconds.end(), [&] { return group(calls); });
  return Median(seconds);
}

void ResetPeakMemory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

int64_t PeakMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

}  // namespace treeformer::bench
