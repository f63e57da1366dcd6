#pragma once

// OutputFile: a file that appears under its name only when it is whole.  Bytes go to
// PATH.unfinished-treeformer, which stays locked as long as it is written; Commit() fsyncs it,
// renames it to PATH and fsyncs the folder.  An object that dies without Commit() removes it, so
// nothing half-written stays; neither where a signal ends the program.  What a killed run left
// under that name is locked by nobody and is removed; it is never written through, so a link
// planted there harms nothing.  Two cannot write one PATH at once: the second is a UserError.
// Where PATH is a link, the file that it leads to is replaced.
//
// A folder that does not exist, a place that may not be written, a disk that fills
// up, and a PATH that is a folder, a pipe or a device are UserErrors that name the
// path and the bytes written so far.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/unfinished_file.h"

namespace treeformer {

inline constexpr char kUnfinishedSuffix[] = ".unfinished-treeformer";

class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Append(const void* data, int64_t bytes);
  void WriteAt(int64_t offset, const void* data, int64_t bytes);  // over bytes already appended
  // Reads back bytes already appended.
  void ReadAt(int64_t offset, void* data, int64_t bytes);
  void Sync();    // all bytes are on disk
  void Commit();  // Sync(), and the file has its name

  int64_t bytes() const { return written_ + static_cast<int64_t>(buffer_.size()); }
  const std::string& path() const { return path_; }

 private:
  int CreateTemporary() const;  // a descriptor, locked
  void RemoveLeftOver() const;  // UserError where it is being written
  void Flush();
  void PWrite(int64_t offset, const char* data, int64_t bytes);
  [[noreturn]] void Refuse(const std::string& what) const;  // with errno's words

  std::string path_, temporary_;
  std::optional<UnfinishedFile> unfinished_;  // temporary_
  int fd_ = -1;
  int64_t written_ = 0;  // bytes of the file that have left buffer_
  std::vector<char> buffer_;
};

// Where a file named `output` and, aside, a token file's offsets are written.
std::vector<std::string> FilesWrittenFor(const std::string& output);

// Throws UserError where writing `output` would replace one of `inputs`, under whatever name.
void RefuseToReplaceInput(const std::string& output, const std::vector<std::string>& inputs);

}  // namespace treeformer
