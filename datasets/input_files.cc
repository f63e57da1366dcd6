#include "datasets/input_files.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>

#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExpected =
    "expected a .txt or .jsonl file (also .zst), a folder that holds some, or a glob";

// Suffixes of formats that are no plain text, or of which text is the smaller part.
constexpr std::array<std::string_view, 24> kOtherFormats{
    ".gz",    ".tgz",  ".bz2",    ".xz",  ".lz4", ".br",   ".z",   ".zip",
    ".7z",    ".rar",  ".tar",    ".pdf", ".doc", ".docx", ".odt", ".parquet",
    ".arrow", ".json", ".ndjson", ".csv", ".tsv", ".epub", ".png", ".jpg"};

std::string_view WithoutZst(std::string_view path) {
  if (path.ends_with(".zst")) path.remove_suffix(4);
  return path;
}

bool HasTextName(const std::string& path) {
  const std::string suffix = fs::path(WithoutZst(path)).extension();
  return suffix == ".txt" || suffix == ".jsonl";
}

InputFile Describe(const std::string& path) {
  const fs::file_type type = fs::status(path).type();
  InputFile file{.path = path, .pipe = type == fs::file_type::fifo};
  if (type != fs::file_type::regular && !file.pipe) {
    throw UserError(Sentence(path, " is a device or a socket, ", kExpected));
  }
  if (!file.pipe) file.bytes = static_cast<int64_t>(fs::file_size(path));
  file.compressed = path.ends_with(".zst");
  file.json_lines = WithoutZst(path).ends_with(".jsonl");
  return file;
}

InputFile DescribeNamed(const std::string& path) {
  const std::string suffix = fs::path(WithoutZst(path)).extension();
  std::string lower = suffix;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  if (std::find(kOtherFormats.begin(), kOtherFormats.end(), lower) != kOtherFormats.end()) {
    throw UserError(Sentence(path, ": files that end in ", suffix, " are not read, ", kExpected));
  }
  return Describe(path);
}

// Its vocabulary and stories are no text of the user's.
bool IsRun(const fs::path& folder) {
  std::error_code unreadable;
  return fs::exists(folder / "config.textproto", unreadable) &&
         fs::is_directory(folder / "checkpoints", unreadable);
}

// RUN, or one of the folders that it has.
bool IsOfRun(const fs::path& folder) {
  std::error_code unreadable;
  const fs::path whole = fs::weakly_canonical(folder, unreadable);
  for (const char* name : {"data", "log", "checkpoints", "controls"}) {
    if (whole.filename() == name && IsRun(whole.parent_path())) return true;
  }
  return IsRun(folder);
}

// A number of files and the first of their names.
class Names {
 public:
  void Add(const std::string& name) {
    ++count_;
    first_.insert(name);
    if (first_.size() > 3) first_.erase(std::prev(first_.end()));
  }
  // "2 hidden (.a, .b)"; nothing for none.
  void Describe(const std::string& what, std::string* text) const {
    if (count_ == 0) return;
    *text += Sentence(text->empty() ? "" : ", ", count_, " ", what, " (");
    for (const std::string& name : first_) {
      *text += name == *first_.begin() ? name : ", " + name;
    }
    *text += count_ > std::ssize(first_) ? ", ...)" : ")";
  }

 private:
  int64_t count_ = 0;
  std::set<std::string> first_;
};

class Listing {
 public:
  void Add(const std::string& input);
  InputFiles Finish();

 private:
  void AddFolder(const fs::path& folder);
  void AddEntry(const fs::path& path, bool is_link);
  void RefuseLoop(const fs::path& link) const;
  std::string LeftOut() const;

  std::vector<InputFile> files_;
  std::vector<fs::path> folders_;  // from the one named to the one that is listed
  Names other_, hidden_, special_, runs_;
};

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

void Listing::Add(const std::string& input) {
  const std::vector<std::string> matches = Matches(input);
  if (matches.empty()) {
    throw UserError(Sentence("input '", input, "' matches nothing, ", kExpected));
  }
  const size_t before = files_.size();
  for (const std::string& match : matches) {
    const bool is_run = fs::is_directory(match) && IsOfRun(match);
    if (is_run && match == input) {
      throw UserError(
          Sentence(input, " is a folder of a training run, whose files are no text, ", kExpected));
    }
    if (is_run) {
      runs_.Add(match);
    } else if (fs::is_directory(match)) {
      AddFolder(match);
    } else {
      files_.push_back(DescribeNamed(match));
    }
  }
  if (files_.size() > before) return;
  const std::string left_out = LeftOut();
  throw UserError(Sentence("input '", input, "' holds no text",
                           left_out.empty() ? "" : " (" + left_out + ")", ", ", kExpected));
}

void Listing::AddFolder(const fs::path& folder) {
  folders_.push_back(folder);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().native().starts_with('.')) {
      hidden_.Add(entry.path().lexically_relative(folders_.front()));
    } else {
      AddEntry(entry.path(), entry.is_symlink());
    }
  }
  folders_.pop_back();
}

void Listing::AddEntry(const fs::path& path, bool is_link) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  const bool broken =
      type == fs::file_type::not_found || error == std::errc::too_many_symbolic_link_levels;
  if (error && !broken) throw fs::filesystem_error("status", path, error);
  if (type == fs::file_type::directory && IsRun(path)) {
    runs_.Add(path.lexically_relative(folders_.front()));
  } else if (type == fs::file_type::directory) {
    if (is_link) RefuseLoop(path);
    AddFolder(path);
  } else if (!HasTextName(path)) {
    other_.Add(path.lexically_relative(folders_.front()));
  } else if (type == fs::file_type::regular) {
    files_.push_back(Describe(path));
  } else {
    special_.Add(path.lexically_relative(folders_.front()));
  }
}

void Listing::RefuseLoop(const fs::path& link) const {
  for (const fs::path& folder : folders_) {
    if (!fs::equivalent(link, folder)) continue;
    throw UserError(Sentence("link ", link.string(), " leads back to ", folder.string(),
                             ", which holds it; expected links to other folders"));
  }
}

std::string Listing::LeftOut() const {
  std::string text;
  other_.Describe("of other suffixes", &text);
  hidden_.Describe("hidden", &text);
  special_.Describe("broken links or no regular files", &text);
  runs_.Describe("training runs", &text);
  return text.empty() ? text : "left out: " + text;
}

InputFiles Listing::Finish() {
  std::sort(files_.begin(), files_.end(),
            [](const InputFile& a, const InputFile& b) { return a.path < b.path; });
  const auto same = [](const InputFile& a, const InputFile& b) { return a.path == b.path; };
  files_.erase(std::unique(files_.begin(), files_.end(), same), files_.end());
  return {std::move(files_), LeftOut()};
}

}  // namespace

InputFiles ListInputFiles(const std::vector<std::string>& inputs) {
  if (inputs.empty()) throw UserError(Sentence("no input given, ", kExpected));
  Listing listing;
  for (const std::string& input : inputs) {
    try {
      listing.Add(input);
    } catch (const fs::filesystem_error& error) {
      throw UserError(Sentence("input '", error.path1().string(),
                               "' cannot be read: ", error.code().message()));
    }
  }
  return listing.Finish();
}

void RefuseToReplaceText(const std::string& output, const std::vector<std::string>& inputs) {
  std::vector<std::string> paths;
  for (const InputFile& file : ListInputFiles(inputs).files) paths.push_back(file.path);
  RefuseToReplaceInput(output, paths);
}

}  // namespace treeformer::datasets
