#include "launcher/run/run_text.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <set>

#include "kernels/base/user_error.h"

namespace treeformer {

namespace fs = std::filesystem;
using config::DatasetConfig;

namespace {

using DescribeTime = std::string (*)(fs::file_time_type);

// ISO 8601, as 2026-01-02T03:04:05.000000006Z.
std::string UtcTime(fs::file_time_type time) {
  using std::chrono::nanoseconds;
  const auto since_1970 = std::chrono::file_clock::to_sys(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_1970);
  const std::time_t count = seconds.time_since_epoch().count();
  std::tm utc = {};
  gmtime_r(&count, &utc);
  return Sentence("modified ", std::put_time(&utc, "%Y-%m-%dT%H:%M:%S."), std::setw(9),
                  std::setfill('0'), nanoseconds(since_1970 - seconds).count(), "Z");
}

// As versions before wrote it: nanoseconds of the file system's clock.
std::string CountedTime(fs::file_time_type time) {
  return Sentence("time ", time.time_since_epoch().count());
}

std::string Describe(const DatasetConfig& config, const RunText& text, DescribeTime describe) {
  if (!text.error.empty()) throw UserError(text.error);
  DatasetConfig settings = config;
  settings.clear_masking();
  settings.clear_pack();
  std::string source = settings.DebugString();
  std::vector<std::string> paths;
  for (const datasets::InputFile& file : text.files) {
    if (file.pipe) {
      throw UserError(Sentence(file.path,
                               " is a pipe, which can be read only once, expected a "
                               "file; or `treeformer prepare` makes a token file"));
    }
    paths.push_back(file.path);
  }
  if (config.has_vocabulary()) paths.push_back(config.vocabulary());
  for (const std::string& path : paths) {
    std::error_code error;
    source += Sentence(path, " ", fs::file_size(path, error), " bytes, ",
                       describe(fs::last_write_time(path, error)), "\n");
  }
  return source;
}

}  // namespace

RunText ListRunText(const DatasetConfig& config) {
  RunText text;
  if (config.text_size() == 0) return text;
  try {
    text.files = datasets::ListInputFiles({config.text().begin(), config.text().end()}).files;
  } catch (const UserError& error) {
    text.error = error.what();
  }
  return text;
}

void RequireRunApartFromText(const std::string& run_directory, const DatasetConfig& config,
                             const RunText& text) {
  const auto whole = [](const fs::path& path) {  // also of what does not exist yet
    const fs::path canonical = fs::weakly_canonical(fs::absolute(path));
    return canonical.has_filename() ? canonical : canonical.parent_path();
  };
  const fs::path run = whole(run_directory);
  const auto refuse_if_same = [&](const fs::path& folder, const std::string& input) {
    const fs::path of_text = whole(folder.empty() ? "." : folder);
    for (const fs::path& own : {run, run / "data", run / "log", run / "checkpoints"}) {
      if (of_text != own) continue;
      throw UserError(Sentence("--run_dir: ", run_directory, " would have its files in ", own,
                               ", a folder of the text, data.text ", input,
                               "; expected another one; a new folder inside it will do"));
    }
  };
  for (const std::string& input : config.text()) {
    if (fs::is_directory(input)) refuse_if_same(input, input);
  }
  std::set<fs::path> folders;
  for (const datasets::InputFile& file : text.files) {
    const fs::path folder = fs::path(file.path).parent_path();
    if (folders.insert(folder).second) refuse_if_same(folder, file.path);
  }
}

std::string DescribeSource(const DatasetConfig& config, const RunText& text) {
  return Describe(config, text, UtcTime);
}

bool IsSource(const std::string& source, const DatasetConfig& config, const RunText& text) {
  return source == Describe(config, text, UtcTime) || source == Describe(config, text, CountedTime);
}

}  // namespace treeformer
