#include "launcher/bench/timing.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

namespace bench {
namespace {

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
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

}  // namespace bench
