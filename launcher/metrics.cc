#include "launcher/metrics.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "kernels/user_error.h"

using Json = nlohmann::ordered_json;

MetricsWriter::MetricsWriter(const std::string& directory, int64_t last_step)
    : path_(directory + "/metrics.jsonl"), events_(directory, last_step) {
  std::ifstream before(path_);
  const std::string aside = path_ + ".tmp";
  file_.open(aside, std::ios::trunc);
  for (std::string line; std::getline(before, line);) {
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    // A line cut short by a kill does not parse; nothing whole stands behind it.
    if (!record.is_object() || !record.contains("step")) break;
    if (record["step"].get<int64_t>() <= last_step) file_ << line << "\n";
  }
  file_ << std::flush;
  std::error_code error;
  std::filesystem::rename(aside, path_, error);
  if (!file_ || error)
    throw UserError(Sentence(path_, " cannot be written: ", std::strerror(errno)));
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
