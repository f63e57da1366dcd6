#include "launcher/stop_signal.h"

#include <csignal>

namespace {

volatile std::sig_atomic_t came = 0;

void Note(int signal) { came = signal; }

}  // namespace

void CatchStopSignals() {
  struct sigaction action {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGTERM, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
}

int StopSignal() { return came; }

std::string StopSignalName(int signal) {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    default:
      return "signal " + std::to_string(signal);
  }
}
