#pragma once

// SIGTERM, SIGUSR1, SIGUSR2: "write a checkpoint and stop".  Schedulers send them before they take
// the machine away.  The handler only notes the signal; the trainer looks at a step's boundary.

#include <string>

void CatchStopSignals();
int StopSignal();                        // the signal that came, 0: none
std::string StopSignalName(int signal);  // "SIGTERM"
