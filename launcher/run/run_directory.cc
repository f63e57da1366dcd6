#include "launcher/run/run_directory.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "launcher/run/run_plan.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

void MakeDirectory(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw UserError(Sentence("--run_dir: ", path, " cannot be made: ", error.message()));
}

void RequireSameRun(const CheckpointInfo& checkpoint, const nlohmann::json& state,
                    const config::RunConfig& config) {
  const std::string manifest = checkpoint.path + "/manifest.json";
  const auto text = state.find("config");
  if (text == state.end() || !text->is_string()) {
    throw UserError(Sentence(manifest, " does not hold the state of a run"));
  }
  const config::RunConfig before = ParseRunConfig(*text, manifest);
  std::string difference = Difference(before, config);
  if (difference.empty()) difference = PlanDifference(before, config, checkpoint.step);
  if (difference.empty()) {
    const int64_t old_steps = PlannedSteps(before), steps = PlannedSteps(config);
    if (old_steps != steps) {
      LOG(WARNING) << "the plan had " << old_steps << " steps and has " << steps
                   << "; the learning rate follows its new schedule from here on";
    }
    return;
  }
  throw UserError(Sentence("the run in ", checkpoint.path, " cannot go on, ", difference,
                           "; give the value from before, or another --run_dir for a new run"));
}

void WriteConfig(const std::string& path, const config::RunConfig& config) {
  const std::string text = PrintRunConfig(config);
  OutputFile file(path);
  file.Append(text.data(), static_cast<int64_t>(text.size()));
  file.Commit();
}

// On rank 0.
RunStart FindStart(const std::string& directory, const config::RunConfig& config, bool resume) {
  const std::string checkpoints = directory + "/checkpoints";
  for (const char* folder : {"/checkpoints", "/data", "/log"}) MakeDirectory(directory + folder);
  RunStart start;
  start.lock = std::make_unique<RunLock>(directory + "/lock");
  if (HasCheckpoints(checkpoints)) {
    if (!resume) {
      throw UserError(Sentence("--noresume: ", checkpoints,
                               " holds checkpoints; give another --run_dir, or remove it"));
    }
    start.checkpoint = FindCheckpoint(checkpoints, &start.state);
    if (!start.checkpoint) {
      throw UserError(Sentence(checkpoints,
                               " holds no valid checkpoint (each is named above); "
                               "give another --run_dir, or remove it to begin anew"));
    }
    RequireSameRun(*start.checkpoint, start.state, config);
    SetAsideCheckpointsAfter(checkpoints, start.checkpoint->step);
  }
  WriteConfig(directory + "/config.textproto", config);
  return start;
}

}  // namespace

// A file system without locks lets the run go on without.
RunLock::RunLock(const std::string& path)
    : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (fd_ < 0) throw UserError(Sentence(path, " cannot be opened: ", strerror(errno)));
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(fd_);
  throw UserError(Sentence(path, " is held by another process that trains in this --run_dir"));
}

RunLock::~RunLock() { close(fd_); }

RunStart OpenRunDirectory(dist::Communicator& communicator, const std::string& directory,
                          const config::RunConfig& config, bool resume) {
  constexpr double kNoCheckpoint = -1;
  RunStart start;
  double step = kNoCheckpoint;
  if (communicator.rank() == 0) {
    start = FindStart(directory, config, resume);
    if (start.checkpoint) step = static_cast<double>(start.checkpoint->step);
  }
  step = communicator.Max(step);
  if (communicator.rank() != 0 && step != kNoCheckpoint) {
    const std::string path = Sentence(directory, "/checkpoints/step_", static_cast<int64_t>(step));
    start.checkpoint = OpenCheckpoint(path, &start.state);
  }
  return start;
}

void LogTo(const std::string& directory, int rank) {
  MakeDirectory(directory + "/log");
  for (google::LogSeverity severity = 0; severity < google::NUM_SEVERITIES; ++severity) {
    google::SetLogDestination(severity, "");  // all are in the INFO file
    google::SetLogSymlink(severity, "");
  }
  google::SetLogDestination(google::GLOG_INFO,
                            Sentence(directory, "/log/rank_", rank, ".").c_str());
  FLAGS_minloglevel = google::GLOG_INFO;
  FLAGS_logtostderr = false;
}

}  // namespace treeformer
