#pragma once

// A regular file mapped into memory for reading, whole.  Anything else (a folder, a pipe, a
// device) and a file that cannot be read is a UserError that names it.

#include <string>
#include <string_view>

namespace treeformer {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(const MappedFile&) = delete;
  ~MappedFile();

  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
};

}  // namespace treeformer
