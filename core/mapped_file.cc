#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/user_error.h"

MappedFile::MappedFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // no wait for a pipe
  if (file < 0) throw UserError(Sentence(path, " cannot be read: ", strerror(errno)));
  struct stat status = {};
  const bool known = fstat(file, &status) == 0, regular = known && S_ISREG(status.st_mode);
  void* data = nullptr;
  if (regular && status.st_size > 0) {
    data = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  }
  const int error = errno;
  close(file);
  if (known && !regular) throw UserError(path + " cannot be read: it is not a regular file");
  if (!known || data == MAP_FAILED) {
    throw UserError(Sentence(path, " cannot be read: ", strerror(error)));
  }
  bytes_ = {static_cast<const char*>(data), static_cast<size_t>(status.st_size)};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}
