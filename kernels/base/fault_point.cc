#include "kernels/base/fault_point.h"

#include <glog/logging.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "kernels/base/user_error.h"

namespace treeformer {
namespace {

constexpr const char* kVariable = "TREEFORMER_FAULT";

enum class Action { kKill, kStop, kThrow, kSleep };

struct Fault {
  int name = -1;
  int visit = 0;
  Action action = Action::kKill;
  double seconds = 0;
};

Fault fault;
std::atomic<int> visits = 0;

// All of `text` as a number; false where it is none.
template <typename T>
bool Parse(std::string_view text, T& number) {
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && parsed == end;
}

bool ParseName(std::string_view text, int& index) {
  for (index = 0; index < std::ssize(FaultName::kNames); ++index) {
    if (FaultName::kNames[index] == text) return true;
  }
  return false;
}

bool ParseAction(std::string_view text, Fault& parsed) {
  constexpr std::string_view kSleep = "sleep=";
  if (text.starts_with(kSleep)) {
    parsed.action = Action::kSleep;
    return Parse(text.substr(kSleep.size()), parsed.seconds) && parsed.seconds >= 0 &&
           std::isfinite(parsed.seconds);
  }
  parsed.action = text == "kill" ? Action::kKill : text == "stop" ? Action::kStop : Action::kThrow;
  return text == "kill" || text == "stop" || text == "throw";
}

std::string Names() {
  std::string names;
  for (const std::string_view name : FaultName::kNames) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

}  // namespace

void ArmFaultPoint(const std::string& text) {
  fault_point::armed = -1;
  if (text.empty()) return;
  const std::string_view all = text;
  const size_t first = all.find(':'), second = all.find(':', first + 1);
  Fault parsed;
  const bool good = first != std::string::npos && second != std::string::npos &&
                    ParseName(all.substr(0, first), parsed.name) &&
                    Parse(all.substr(first + 1, second - first - 1), parsed.visit) &&
                    parsed.visit >= 1 && ParseAction(all.substr(second + 1), parsed);
  if (!good) {
    throw UserError(Sentence(kVariable, " is \"", text, "\"; expected NAME:VISIT:ACTION with one ",
                             "of the names ", Names(), ", a visit from 1 on, and kill, stop, ",
                             "throw or sleep=SECONDS"));
  }
  fault = parsed;
  visits = 0;
  fault_point::armed = parsed.name;
}

void ArmFaultPointFromEnvironment() {
  const char* const text = std::getenv(kVariable);
  ArmFaultPoint(text == nullptr ? "" : text);
}

void fault_point::Visit() {
  if (++visits != fault.visit) return;
  const std::string place =
      Sentence("visit ", fault.visit, " to ", FaultName::kNames[fault.name], ", by ", kVariable);
  LOG(WARNING) << place;
  switch (fault.action) {
    case Action::kKill:
      std::raise(SIGKILL);
      return;
    case Action::kStop:
      std::raise(SIGSTOP);
      return;
    case Action::kThrow:
      throw std::runtime_error(place);
    case Action::kSleep:
      std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds));
      return;
  }
}

}  // namespace treeformer
