#pragma once

// What the user calls the text: folders (with all below them), globs and files.
//
//   *.txt          plain text          *.txt.zst    the same, compressed
//   *.jsonl        a JSON object a line *.jsonl.zst
//
// A folder gives its files of these names; a file named by itself or by a glob is
// plain text whatever its name, unless it ends in .jsonl or .zst.

#include <cstdint>
#include <string>
#include <vector>

namespace datasets {

struct InputFile {
  std::string path;
  int64_t bytes = 0;        // on disk
  bool json_lines = false;  // else plain text
  bool compressed = false;  // by zstd
};

// Sorted by path (bytewise), each file once.  An input that yields no file is a UserError.
std::vector<InputFile> ListInputFiles(const std::vector<std::string>& inputs);

}  // namespace datasets
