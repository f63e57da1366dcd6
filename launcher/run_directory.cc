#include "launcher/run_directory.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "datasets/output_file.h"
#include "kernels/user_error.h"

namespace fs = std::filesystem;

namespace {

void MakeDirectory(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw UserError(Sentence("--run_dir: ", path, " cannot be made: ", error.message()));
}

void RequireSameRun(const CheckpointInfo& checkpoint, const nlohmann::json& state,
                    const treeformer::RunConfig& config) {
  const treeformer::RunConfig before =
      ParseRunConfig(state.at("config"), checkpoint.path + "/manifest.json");
  const std::string difference = Difference(before, config);
  if (difference.empty()) return;
  throw UserError(Sentence("the run in ", checkpoint.path, " cannot go on, ", difference,
                           "; give the value from before, or another --run_dir for a new run"));
}

void WriteConfig(const std::string& path, const treeformer::RunConfig& config) {
  const std::string text = PrintRunConfig(config);
  datasets::OutputFile file(path);
  file.Append(text.data(), static_cast<int64_t>(text.size()));
  file.Commit();
}

// On rank 0.
RunStart FindStart(const std::string& directory, const treeformer::RunConfig& config, bool resume) {
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
  }
  WriteConfig(directory + "/config.textproto", config);
  return start;
}

}  // namespace

bool HasCheckpoints(const std::string& folder) {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("step_") && !name.ends_with(".tmp")) return true;
  }
  return false;
}

// A file system without locks lets the run go on without.
RunLock::RunLock(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT, 0644)) {
  if (fd_ < 0 || flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(fd_);
  throw UserError(Sentence(path, " is held by another process that trains in this --run_dir"));
}

RunLock::~RunLock() {
  if (fd_ >= 0) close(fd_);
}

RunStart OpenRunDirectory(dist::Communicator& communicator, const std::string& directory,
                          const treeformer::RunConfig& config, bool resume) {
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
