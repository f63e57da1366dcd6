#include "launcher/training/stop_signal.h"

#include <glog/logging.h>
#include <pthread.h>

#include <atomic>
#include <csignal>

#include "kernels/base/unfinished_file.h"

namespace treeformer {

namespace {

const int kWake = SIGRTMIN;  // to the waiting thread, at the end

std::atomic<int> came = 0;
std::atomic<bool> asks_for_checkpoint = false, finished = false;

bool IsIgnored(int signal) {
  struct sigaction action = {};
  CHECK_EQ(sigaction(signal, nullptr, &action), 0);
  return action.sa_handler == SIG_IGN;
}

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP}) {
    if (!IsIgnored(signal)) sigaddset(&set, signal);
  }
  sigaddset(&set, kWake);
  return set;
}

// As if nobody had waited for it.
void EndBy(int signal) {
  RemoveUnfinishedFiles();
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(signal);
}

void AwaitSignals(sigset_t set) {
  while (true) {
    int signal = 0;
    CHECK_EQ(sigwait(&set, &signal), 0);
    if (finished) return;
    if (signal == kWake) continue;
    const bool again = signal == SIGINT && came == SIGINT;
    came = signal;
    if (!asks_for_checkpoint || again) EndBy(signal);
  }
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = StopSet();
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  waiter_ = std::thread(AwaitSignals, set);
}

StopSignals::~StopSignals() {
  finished = true;
  pthread_kill(waiter_.native_handle(), kWake);
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
    case SIGINT:
      return "SIGINT";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "signal " + std::to_string(signal);
  }
}

}  // namespace treeformer
