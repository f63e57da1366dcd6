#include "launcher/report/progress.h"

#include <glog/logging.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <vector>

#include "dist/launch_environment.h"

namespace treeformer {

namespace {

// Open MPI gives its ranks a pseudo-terminal even when its own output is a file: ask about
// mpirun's.
bool IsTerminal() {
  if (!isatty(STDOUT_FILENO)) return false;
  if (!dist::DetectLauncher()) return true;
  std::error_code error;
  const std::string target =
      std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/1", error);
  return target.starts_with("/dev/pts/") || target.starts_with("/dev/tty");
}

size_t TerminalWidth() {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string Scaled(double value, double step, const std::vector<const char*>& units) {
  size_t unit = 0;
  while (std::abs(value) >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  const char* format = unit == 0 ? "%.0f" : (value < 10 ? "%.2f" : (value < 100 ? "%.1f" : "%.0f"));
  return Format(format, value) + units[unit];
}

}  // namespace

Progress::Progress(bool speaks, double plain_seconds)
    : speaks_(speaks),
      terminal_(speaks && IsTerminal()),
      plain_seconds_(plain_seconds),
      last_(Clock::now()) {}

Progress::~Progress() { Clear(); }

void Progress::Clear() {
  if (drawn_) std::cout << "\r\033[K" << std::flush;
  drawn_ = false;
}

void Progress::Line(const std::string& text) {
  if (!speaks_) return;
  Clear();
  std::cout << text << std::endl;
  LOG(INFO) << text;
}

void Progress::Error(const std::string& sentence) {
  Clear();
  LOG(INFO) << sentence;
  std::cerr << "treeformer: " << sentence << std::endl;
}

void Progress::Bar(double share, const std::string& text) {
  if (!speaks_) return;
  const Clock::time_point now = Clock::now();
  const double since = std::chrono::duration<double>(now - last_).count();
  if (!terminal_) {
    if (plain_seconds_ > 0 && since >= plain_seconds_) {
      std::cout << text << std::endl;
      last_ = now;
    }
    return;
  }
  if (drawn_ && since < 0.1) return;
  last_ = now;
  constexpr int kCells = 20;
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kCells);
  const std::string bar = "[" + std::string(full, '#') + std::string(kCells - full, '.') + "] ";
  const std::string line = bar + Format("%3.0f %%  ", 100 * share) + text;
  std::cout << "\r" << line.substr(0, TerminalWidth() - 1) << "\033[K" << std::flush;
  drawn_ = true;
}

std::string FormatDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  char text[64];
  const long hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  if (hours > 0) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", hours, minutes, rest);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", minutes, rest);
  }
  return text;
}

std::string FormatCount(double count) {
  return Scaled(count, 1000, {"", "k", "M", "G", "T", "P", "E", "Z"});
}

std::string FormatBytes(double bytes) {
  return Scaled(bytes, 1024, {" B", " KiB", " MiB", " GiB", " TiB"});
}

std::string FormatFixed(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace treeformer
