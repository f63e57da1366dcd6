#include "kernels/base/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

MappedFile::MappedFile(const std::string& path) {
  const int file = OpenRegularFile(path);
  struct stat status = {};
  void* data = fstat(file, &status) == 0 ? nullptr : MAP_FAILED;
  if (status.st_size > 0) data = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  const int error = errno;
  close(file);
  if (data == MAP_FAILED) throw UserError(Sentence(path, " cannot be read: ", strerror(error)));
  bytes_ = {static_cast<const char*>(data), static_cast<size_t>(status.st_size)};
  constexpr int64_t kNanoseconds = 1'000'000'000;  // of a second
  modified_ = status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec;
  inode_ = status.st_ino;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(modified_, other.modified_);
  std::swap(inode_, other.inode_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

}  // namespace treeformer
