#pragma once

// What the user calls the text: folders (with all below them), globs, files and pipes.
//
//   *.txt          plain text          *.txt.zst    the same, compressed
//   *.jsonl        a JSON object a line *.jsonl.zst
//
// A folder gives its files of these names, but not what is hidden (a name that begins with a dot)
// and no training run (a folder with config.textproto and checkpoints/; named itself, it is a
// UserError).  A file named by itself or by a glob is plain text whatever its name, unless it ends
// in .jsonl or .zst; a suffix of another format (.gz, .parquet, .json) is a UserError.  A pipe is
// plain text too unless named so, and can be read once.

#include <cstdint>
#include <string>
#include <vector>

namespace treeformer::datasets {

struct InputFile {
  std::string path;
  int64_t bytes = 0;        // on disk; 0 of a pipe
  bool json_lines = false;  // else plain text
  bool compressed = false;  // by zstd
  bool pipe = false;
};

struct InputFiles {
  std::vector<InputFile> files;  // sorted by path (bytewise), each once
  std::string left_out;          // what else the folders hold: counts and names; or empty
};

// An input that yields no file is a UserError.
InputFiles ListInputFiles(const std::vector<std::string>& inputs);

// A UserError where writing `output` would replace a file of the text `inputs`.
void RefuseToReplaceText(const std::string& output, const std::vector<std::string>& inputs);

}  // namespace treeformer::datasets
