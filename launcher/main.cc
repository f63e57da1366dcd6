// treeformer: one program, its commands (launcher/commands/commands.h).

#include <glog/logging.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <optional>

#include "dist/mpi_session.h"
#include "kernels/base/fault_point.h"
#include "launcher/commands/commands.h"
#include "launcher/program/failure.h"
#include "launcher/training/stop_signal.h"

int main(int argc, char** argv) {
  std::optional<treeformer::StopSignals> stop_signals;
  // Until a run directory takes the log files.
  FLAGS_stderrthreshold = FLAGS_minloglevel = google::GLOG_WARNING;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond its limit is an error of the write
  std::unique_ptr<treeformer::dist::MpiSession> session;
  try {
    stop_signals.emplace();
    session = std::make_unique<treeformer::dist::MpiSession>();
    treeformer::ArmFaultPointFromEnvironment();
    return treeformer::Dispatch(treeformer::AllCommands(), {argv + 1, argv + argc}, *session,
                                std::cout);
  } catch (...) {
    const treeformer::Failure failure = treeformer::Explain(std::current_exception());
    LOG(INFO) << failure.sentence;  // into the run's log
    if (session) session->Fail(failure.sentence, failure.status);
    std::cerr << failure.sentence << std::endl;
    return failure.status;
  }
}
