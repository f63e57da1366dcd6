#include "launcher/stop_signal.h"

#include <glog/logging.h>
#include <pthread.h>

#include <atomic>
#include <csignal>

namespace {

std::atomic<int> came = 0;
std::atomic<bool> asks_for_checkpoint = false, finished = false;

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGUSR1, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

void AwaitSignals() {
  const sigset_t set = StopSet();
  while (true) {
    int signal = 0;
    CHECK_EQ(sigwait(&set, &signal), 0);
    if (finished) return;
    came = signal;
    if (asks_for_checkpoint) continue;
    std::signal(signal, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    std::raise(signal);
  }
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = StopSet();
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  waiter_ = std::thread(AwaitSignals);
}

StopSignals::~StopSignals() {
  finished = true;
  pthread_kill(waiter_.native_handle(), SIGTERM);
  waiter_.join();
}

void StopSignalsAskForCheckpoint() { asks_for_checkpoint = true; }

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
