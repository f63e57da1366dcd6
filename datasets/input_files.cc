#include "datasets/input_files.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "kernels/user_error.h"

namespace datasets {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExpected =
    "expected a .txt or .jsonl file (also .zst), a folder that holds some, or a glob";

InputFile Describe(const fs::path& path) {
  InputFile file{.path = path.string(), .bytes = static_cast<int64_t>(fs::file_size(path))};
  std::string_view name = file.path;
  file.compressed = name.ends_with(".zst");
  if (file.compressed) name.remove_suffix(4);
  file.json_lines = name.ends_with(".jsonl");
  return file;
}

bool HasTextName(const fs::path& path) {
  const fs::path stem = path.extension() == ".zst" ? path.stem() : path.filename();
  return stem.extension() == ".txt" || stem.extension() == ".jsonl";
}

void AddFolder(const fs::path& folder, std::vector<InputFile>* files) {
  const auto options = fs::directory_options::follow_directory_symlink;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, options)) {
    if (entry.is_regular_file() && HasTextName(entry.path())) {
      files->push_back(Describe(entry.path()));
    }
  }
}

std::vector<std::string> Matches(const std::string& input) {
  if (fs::exists(input)) return {input};  // a name with glob characters in it
  glob_t result;
  std::vector<std::string> paths;
  if (glob(input.c_str(), 0, nullptr, &result) == 0) {
    paths.assign(result.gl_pathv, result.gl_pathv + result.gl_pathc);
  }
  globfree(&result);
  return paths;
}

void AddInput(const std::string& input, std::vector<InputFile>* files) {
  const std::vector<std::string> matches = Matches(input);
  if (matches.empty()) {
    throw UserError(Sentence("input '", input, "' matches nothing, ", kExpected));
  }
  const size_t before = files->size();
  for (const std::string& match : matches) {
    if (fs::is_directory(match)) {
      AddFolder(match, files);
    } else {
      files->push_back(Describe(match));
    }
  }
  if (files->size() == before) {
    throw UserError(Sentence("input '", input, "' holds no text, ", kExpected));
  }
}

}  // namespace

std::vector<InputFile> ListInputFiles(const std::vector<std::string>& inputs) {
  if (inputs.empty()) throw UserError(Sentence("no input given, ", kExpected));
  std::vector<InputFile> files;
  for (const std::string& input : inputs) {
    try {
      AddInput(input, &files);
    } catch (const fs::filesystem_error& error) {
      throw UserError(Sentence("input '", error.path1().string(),
                               "' cannot be read: ", error.code().message()));
    }
  }
  std::sort(files.begin(), files.end(),
            [](const InputFile& a, const InputFile& b) { return a.path < b.path; });
  const auto same = [](const InputFile& a, const InputFile& b) { return a.path == b.path; };
  files.erase(std::unique(files.begin(), files.end(), same), files.end());
  return files;
}

}  // namespace datasets
