#pragma once

// SIGTERM, SIGUSR1, SIGUSR2: "write a checkpoint and stop".  Schedulers send them before they take
// the machine away.
//
// Until StopSignalsAskForCheckpoint() they end the program as always.
// They are blocked in every thread and awaited by one of our own, so that no signal ever interrupts
// a computation: oneDNN's matrix products keep the stack pointer in a small heap buffer, where a
// handler's frame would overwrite the heap.  The trainer looks at a step's boundary.

#include <string>
#include <thread>

// Made first in main(), before any other thread, which inherits what is blocked.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();

 private:
  std::thread waiter_;
};

void StopSignalsAskForCheckpoint();      // from now on
int StopSignal();                        // the signal that came since, 0: none
std::string StopSignalName(int signal);  // "SIGTERM"
