#include "core/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "kernels/base/fault_point.h"
#include "kernels/base/output_file.h"
#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;
const char* const kSuffix = ".safetensors";
const char* const kManifest = "manifest.json";
const std::string kPrefix = "step_";
const char* const kSetAside = ".set_aside";

// The step of a folder named step_<N>, or step_<N> and something that begins with `suffix`; empty
// for any other name.
std::optional<int64_t> StepOf(const fs::path& path, std::string_view suffix = "") {
  const std::string name = path.filename();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* const end = name.data() + name.size();
  const auto [parsed, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc()) return std::nullopt;
  const std::string_view rest(parsed, end);
  if (suffix.empty() ? !rest.empty() : !rest.starts_with(suffix)) return std::nullopt;
  return step;
}

std::vector<CheckpointInfo> ListNewestFirst(const std::string& directory) {
  std::vector<CheckpointInfo> checkpoints;
  if (!fs::exists(directory)) return checkpoints;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (const auto step = StepOf(entry.path())) checkpoints.push_back({*step, entry.path(), {}});
  }
  std::sort(checkpoints.begin(), checkpoints.end(),
            [](const auto& a, const auto& b) { return a.step > b.step; });
  return checkpoints;
}

// Else it is nobody's checkpoint.
bool HasManifest(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path / kManifest, unreadable);
}

// Out of the way, under a name that is no checkpoint's.
void SetAside(const CheckpointInfo& checkpoint) {
  std::string name;
  for (int i = 1; name.empty() || fs::exists(name); ++i) {
    name = checkpoint.path + kSetAside + (i == 1 ? "" : "_" + std::to_string(i));
  }
  std::error_code error;
  fs::rename(checkpoint.path, name, error);
  if (error) {
    throw UserError(Sentence(checkpoint.path, " cannot be set aside: ", error.message()));
  }
  LOG(WARNING) << "checkpoint " << checkpoint.path
               << " is not of this run as it goes on, and is set aside as " << name;
}

void SyncFolder(const std::string& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0 || fsync(folder) != 0) {
    throw UserError(Sentence(path, " cannot be flushed to disk: ", strerror(errno)));
  }
  close(folder);
}

std::string FileName(const CheckpointFile& file) {
  if (file.shards == 1) return file.part + kSuffix;
  const auto digits = [](int number) {  // five, as Hugging Face's
    const std::string text = std::to_string(number);
    return std::string(5 - std::min<size_t>(5, text.size()), '0') + text;
  };
  return file.part + "-" + digits(file.shard + 1) + "-of-" + digits(file.shards) + kSuffix;
}

json Entry(const FileDigest& digest) {
  return {{"bytes", digest.bytes}, {"xxh3", Sentence(std::hex, digest.xxh3)}};
}

std::string HashOf(const json& manifest) {
  const std::string text = manifest.dump();
  return Sentence(std::hex, XXH3_64bits(text.data(), text.size()));
}

json ReadManifest(const std::string& path) {
  const std::string name = path + "/" + kManifest;
  // What nests deeper is dropped, so that the hash disagrees: copies and dumps recurse.
  constexpr int kMostDepth = 64;
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth < kMostDepth; };
  const json signed_manifest =
      json::parse(ReadRegularFile(name), shallow, /*allow_exceptions=*/false);
  if (!signed_manifest.is_object() || !signed_manifest.contains("manifest")) {
    throw UserError(Sentence(name, " is damaged: it is not the JSON of a manifest"));
  }
  const json& manifest = signed_manifest["manifest"];
  if (signed_manifest.value("xxh3", "") != HashOf(manifest)) {
    throw UserError(Sentence(name, " is damaged: its content does not match its own xxh3 hash"));
  }
  if (!manifest.is_object() || !manifest.at("files").is_object() ||
      !manifest.at("state").is_object() || !manifest.at("step").is_number_integer()) {
    throw UserError(Sentence(name, " is damaged: files, state or step is of another type"));
  }
  // Compared as JSON: a number like 1e78 is no int.
  const json format = manifest.value("format", json());
  if (format != json(kFormat)) {
    throw UserError(
        Sentence(name, " has format ", format.dump(), "; this program reads format ", kFormat));
  }
  return manifest;
}

}  // namespace

bool IsFileOfPart(const std::string& file, const std::string& part) {
  if (!file.starts_with(part) || !file.ends_with(kSuffix)) return false;
  return file == part + kSuffix || file[part.size()] == '-';
}

void SaveCheckpoint(Context& ctx, const std::string& directory, int64_t step,
                    const std::vector<CheckpointFile>& files, const json& state) {
  const fs::path path = fs::path(directory) / (kPrefix + std::to_string(step));
  const std::string aside = path.string() + kUnfinishedSuffix;
  std::error_code error;
  fs::remove_all(aside, error);
  fs::create_directories(aside, error);
  if (error) throw UserError(Sentence(aside, " cannot be created: ", error.message()));

  json entries;
  try {
    for (const CheckpointFile& file : files) {
      const std::string name = FileName(file);
      entries[name] = Entry(WriteSafetensors(ctx, aside + "/" + name, file.tensors));
    }
    const json manifest = {
        {"format", kFormat}, {"step", step}, {"files", entries}, {"state", state}};
    const json signed_manifest = {{"manifest", manifest}, {"xxh3", HashOf(manifest)}};
    const std::string text = signed_manifest.dump(/*indent=*/1) + "\n";
    OutputFile file(aside + "/" + kManifest);
    file.Append(text.data(), text.size());
    file.Commit();
  } catch (const UserError&) {
    fs::remove_all(aside, error);
    throw;
  }
  SyncFolder(aside);
  if (fs::exists(path)) SetAside({step, path, {}});
  FaultPoint("checkpoint.before_rename");
  fs::rename(aside, path, error);
  if (error) throw UserError(Sentence(path.string(), " cannot be named: ", error.message()));
  SyncFolder(directory);
}

bool HasCheckpoints(const std::string& directory) { return !ListNewestFirst(directory).empty(); }

void SetAsideCheckpointsAfter(const std::string& directory, int64_t step) {
  for (const CheckpointInfo& checkpoint : ListNewestFirst(directory)) {
    if (checkpoint.step > step && HasManifest(checkpoint.path)) SetAside(checkpoint);
  }
}

void PruneCheckpoints(const std::string& directory, int keep, const std::set<int64_t>& valid) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const auto step = StepOf(entry.path(), kUnfinishedSuffix);
    if (step) fs::remove_all(entry.path(), ignored);
  }
  const auto wanted = static_cast<size_t>(std::max(keep, 1));
  if (valid.size() < wanted) return;
  const int64_t oldest_kept = *std::prev(valid.end(), static_cast<int64_t>(wanted));
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    std::optional<int64_t> step = StepOf(entry.path());
    if (!step) step = StepOf(entry.path(), kSetAside);
    if (step && *step < oldest_kept && HasManifest(entry.path())) {
      fs::remove_all(entry.path(), ignored);
    }
  }
}

namespace {

CheckpointInfo Open(const std::string& path, json* state) {
  const json manifest = ReadManifest(path);
  std::vector<std::string> files;
  for (const auto& [name, expected] : manifest["files"].items()) {
    const std::string file = path + "/" + name;
    const FileDigest digest = DigestFile(file);
    const json bytes = expected.value("bytes", json());
    if (bytes != json(digest.bytes)) {
      throw UserError(Sentence(file, " is damaged: it has ", digest.bytes,
                               " bytes, the manifest says ", bytes.dump()));
    }
    if (Entry(digest) != expected) {
      throw UserError(Sentence(file, " is damaged: its xxh3 hash is ", Entry(digest)["xxh3"],
                               ", the manifest says ", expected.value("xxh3", "nothing")));
    }
    files.push_back(name);
  }
  if (state != nullptr) *state = manifest["state"];
  return {manifest.value("step", int64_t{0}), path, files};
}

}  // namespace

std::optional<json> ReadState(const std::string& folder) {
  if (!HasManifest(folder)) return std::nullopt;
  try {
    return ReadManifest(folder)["state"];
  } catch (const json::exception& error) {
    throw UserError(Sentence(folder, "/", kManifest, " is damaged: ", error.what()));
  }
}

CheckpointInfo OpenCheckpoint(const std::string& path, json* state) {
  try {
    return Open(path, state);
  } catch (const json::exception& error) {
    throw UserError(Sentence(path, "/", kManifest, " is damaged: ", error.what()));
  }
}

// A run that writes here meanwhile may have removed what was listed: then there are newer ones.
std::optional<CheckpointInfo> FindCheckpoint(const std::string& directory, json* state) {
  std::set<int64_t> skipped;
  while (true) {
    const size_t skipped_before = skipped.size();
    for (const CheckpointInfo& candidate : ListNewestFirst(directory)) {
      if (skipped.contains(candidate.step)) continue;
      try {
        return OpenCheckpoint(candidate.path, state);
      } catch (const UserError& error) {
        skipped.insert(candidate.step);
        if (!fs::exists(candidate.path)) continue;
        LOG(WARNING) << "checkpoint " << candidate.path << " is skipped: " << error.what();
      }
    }
    if (skipped.size() == skipped_before) return std::nullopt;
  }
}

}  // namespace treeformer
