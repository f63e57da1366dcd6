#include "launcher/report/metrics.h"

#include <glog/logging.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>

#include "kernels/base/output_file.h"
#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

using Json = nlohmann::ordered_json;

namespace {

// The step of a line that is a whole record.
std::optional<int64_t> StepOf(const std::string& line) {
  const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("step")) return std::nullopt;
  const Json& step = record["step"];
  const bool fits = !step.is_number_unsigned() ||
                    step.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
  if (!step.is_number_integer() || !fits) return std::nullopt;
  return step.get<int64_t>();
}

}  // namespace

int64_t KeepRecords(std::istream& lines, int64_t last_step,
                    const std::function<void(const std::string&)>& keep) {
  int64_t damaged = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::optional<int64_t> step = StepOf(line);
    if (step && *step <= last_step) keep(line);
    const bool cut_by_a_kill = lines.eof();
    if (!step && !cut_by_a_kill) ++damaged;
  }
  return damaged;
}

MetricsWriter::MetricsWriter(const std::string& directory, int64_t last_step)
    : path_(directory + "/metrics.jsonl"), events_(directory, last_step) {
  const std::string kind = KindOfSpecialFile(path_);
  if (!kind.empty()) throw UserError(Sentence(path_, " is ", kind, ", expected a file"));
  std::ifstream before(path_);  // line by line: it may be larger than memory
  if (!before && std::filesystem::exists(path_)) {
    throw UserError(Sentence(path_, " cannot be read: ", std::strerror(errno)));
  }
  OutputFile kept(path_);
  const int64_t damaged = KeepRecords(before, last_step, [&](const std::string& line) {
    kept.Append((line + "\n").data(), std::ssize(line) + 1);
  });
  kept.Commit();
  if (damaged > 0) {
    LOG(WARNING) << path_ << ": " << damaged << (damaged == 1 ? " line is" : " lines are")
                 << " damaged and left out";
  }
  file_.open(path_, std::ios::app);
  if (!file_) throw UserError(Sentence(path_, " cannot be written: ", std::strerror(errno)));
}

void MetricsWriter::AddHistogram(const std::string& tag, const std::vector<double>& values) {
  events_.AddHistogram(tag, values);
}

void MetricsWriter::Write(const Json& record) {
  const int64_t step = record.at("step");
  const Json flat = record.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (value.is_number() && path != "/step") events_.AddScalar(path.substr(1), value);
  }
  events_.Write(step);
  file_ << record.dump() << std::endl;
  if (!file_) throw UserError(Sentence(path_, " cannot be written: ", std::strerror(errno)));
}

}  // namespace treeformer
