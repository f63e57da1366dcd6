#pragma once

// FaultPoint: a place where a test can make this process fail.
//
//   TREEFORMER_FAULT=NAME:VISIT:ACTION, such as checkpoint.before_rename:2:kill
//
// The action is taken at the VISIT-th time, counted from 1, that a thread comes to the place NAME:
//
//   kill            the process is gone at once, as by kill -9
//   stop            it stands still until somebody sends SIGCONT
//   throw           std::runtime_error
//   sleep=SECONDS   this thread waits
//
// A name that is not in the list does not compile; in the variable it is refused when the program
// starts.  Where the variable is not set, a visit is one comparison.

#include <iterator>
#include <string>
#include <string_view>

namespace treeformer {

class FaultName {
 public:
  static constexpr std::string_view kNames[] = {
      "checkpoint.before_rename",  // it is whole and on disk, under another name
      "update.before_report",      // the weights are new, and nothing says so
  };

  consteval FaultName(const char* name) : index_(IndexOf(name)) {}
  int index() const { return index_; }

 private:
  static consteval int IndexOf(std::string_view name) {
    for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i) {
      if (kNames[i] == name) return i;
    }
    throw "no such fault point";
  }

  const int index_;
};

namespace fault_point {

// As the environment is: one for the process.
inline int armed = -1;  // the index of a name
void Visit();

}  // namespace fault_point

inline void FaultPoint(FaultName name) {
  if (name.index() == fault_point::armed) [[unlikely]]
    fault_point::Visit();
}

// NAME:VISIT:ACTION; empty disarms.  Before other threads start.  Throws UserError.
void ArmFaultPoint(const std::string& fault);
// What TREEFORMER_FAULT says, if it is set.
void ArmFaultPointFromEnvironment();

}  // namespace treeformer
