#include "kernels/base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/base/user_error.h"

namespace treeformer {
namespace {

std::string Describe(mode_t mode) {
  if (S_ISREG(mode)) return "";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

[[noreturn]] void Refuse(const std::string& path, const std::string& why) {
  throw UserError(Sentence(path, " cannot be read: ", why));
}

}  // namespace

std::string KindOfSpecialFile(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 ? Describe(status.st_mode) : "";
}

int OpenRegularFile(const std::string& path) {
  // Without O_NONBLOCK a pipe would wait for its writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) Refuse(path, strerror(errno));
  struct stat status;
  const std::string kind = fstat(file, &status) == 0 ? Describe(status.st_mode) : strerror(errno);
  if (kind.empty()) return file;
  close(file);
  Refuse(path, "it is " + kind + ", expected a regular file");
}

std::string ReadRegularFile(const std::string& path, int64_t most_bytes) {
  const int file = OpenRegularFile(path);
  struct stat status;
  const bool known = fstat(file, &status) == 0;
  std::string bytes;
  if (known && status.st_size <= most_bytes) bytes.reserve(status.st_size);
  char block[1 << 16];
  ssize_t count = 0;
  bool too_long = known && status.st_size > most_bytes;
  while (!too_long &&
         ((count = read(file, block, sizeof block)) > 0 || (count < 0 && errno == EINTR))) {
    if (count > 0) bytes.append(block, count);
    too_long = static_cast<int64_t>(bytes.size()) > most_bytes;
  }
  const int error = errno;
  close(file);
  if (count < 0) Refuse(path, strerror(error));
  if (too_long) Refuse(path, Sentence("it has more than ", most_bytes, " bytes"));
  return bytes;
}

}  // namespace treeformer
