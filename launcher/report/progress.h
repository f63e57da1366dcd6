#pragma once

// What rank 0 says while it works: lines, which go to the run's log too, and on a terminal a bar
// that is redrawn in place below them.  The other ranks say nothing.

#include <chrono>
#include <string>

namespace treeformer {

class Progress {
 public:
  // `plain_seconds`: where there is no terminal, the bar's text becomes a line at most so often; 0:
  // never.
  explicit Progress(bool speaks, double plain_seconds = 0);
  ~Progress();
  Progress(const Progress&) = delete;

  void Line(const std::string& text);
  // To standard error and the log, also where this does not speak.
  void Error(const std::string& sentence);
  // `share` done, 0 to 1; at most ten times a second on the terminal.
  void Bar(double share, const std::string& text);
  void Clear();  // removes the bar

 private:
  using Clock = std::chrono::steady_clock;

  const bool speaks_;
  const bool terminal_;
  const double plain_seconds_;
  bool drawn_ = false;
  Clock::time_point last_;
};

std::string FormatDuration(double seconds);         // "42 s", "3:05", "2:00:07"
std::string FormatCount(double count);              // "931", "12.3k", "4.56M"
std::string FormatBytes(double bytes);              // "931 B", "12.3 KiB"
std::string FormatFixed(double value, int digits);  // "-" where there is no number

}  // namespace treeformer
