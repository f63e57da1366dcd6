#pragma once

// A regular file mapped into memory for reading, whole.  Anything else (a folder, a pipe, a
// device) and a file that cannot be read is a UserError that names it.  Move-only; the bytes stay
// where they are when it is moved.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace treeformer {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return bytes_; }
  // With the size, these tell one file from another, and from itself after it was written.
  int64_t modified() const { return modified_; }  // nanoseconds since 1970, when it was opened
  uint64_t inode() const { return inode_; }

 private:
  std::string_view bytes_;
  int64_t modified_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace treeformer
