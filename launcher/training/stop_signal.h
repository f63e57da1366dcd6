#pragma once

// SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP: "write a checkpoint and stop".  Schedulers send them
// before they take the machine away, terminals when somebody presses Ctrl-C or goes away.  A second
// SIGINT ends the program at once.  Who starts the program with one of them ignored, as nohup does
// with SIGHUP, has it ignored.
//
// Until StopSignalsAskForCheckpoint() they end the program at once, and files that are being
// written are removed. They are blocked in every thread and awaited by one of our own, so that no
// signal ever interrupts a computation: oneDNN's matrix products keep the stack pointer in a small
// heap buffer, where a handler's frame would overwrite the heap.  The trainer looks at a step's
// boundary.

#include <string>
#include <thread>

namespace treeformer {

// Made first in main(), before any other thread, which inherits what is blocked.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();

 private:
  std::thread waiter_;
};

void StopSignalsAskForCheckpoint();      // from now on: somebody looks at StopSignal()
int StopSignal();                        // the signal that came since, 0: none
std::string StopSignalName(int signal);  // "SIGTERM"

}  // namespace treeformer
