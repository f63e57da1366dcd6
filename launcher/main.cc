// treeformer: one program, its commands (launcher/commands.h).

#include <glog/logging.h>

#include <iostream>
#include <memory>

#include "dist/mpi_session.h"
#include "kernels/user_error.h"
#include "launcher/commands.h"
#include "launcher/stop_signal.h"

int main(int argc, char** argv) {
  const StopSignals stop_signals;
  // Until a run directory takes the log files.
  FLAGS_stderrthreshold = FLAGS_minloglevel = google::GLOG_WARNING;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  std::unique_ptr<dist::MpiSession> session;
  try {
    session = std::make_unique<dist::MpiSession>(&argc, &argv);
  } catch (const UserError& error) {
    std::cerr << "treeformer: " << error.what() << std::endl;
    return kBadInput;
  }
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    return Dispatch(AllCommands(), arguments, session->communicator(), std::cout);
  } catch (const UserError& error) {
    session->Fail(Sentence("treeformer: ", error.what()), kBadInput);
  }
}
