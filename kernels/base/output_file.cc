#include "kernels/base/output_file.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

constexpr size_t kBufferBytes = 1 << 20;

namespace {

namespace fs = std::filesystem;

// Where `path` leads; itself when it is no link.
std::string FollowLinks(const std::string& path) {
  std::error_code error;
  fs::path target = path;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == 40) throw UserError(Sentence(path, " is a link that leads back to itself"));
    target = target.parent_path() / fs::read_symlink(target, error);
  }
  return target;
}

bool IsNamed(int fd, const std::string& path) {
  struct stat open_file, named;
  return fstat(fd, &open_file) == 0 && lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

// True also where there is none.
bool Remove(const std::string& path) { return unlink(path.c_str()) == 0 || errno == ENOENT; }

}  // namespace

OutputFile::OutputFile(const std::string& path)
    : path_(FollowLinks(path)), temporary_(path_ + kUnfinishedSuffix) {
  const std::string kind = KindOfSpecialFile(path_);
  if (!kind.empty()) {
    throw UserError(Sentence(path, " is ", kind, ", expected the name of a file to write"));
  }
  unfinished_.emplace(temporary_, [this] { fd_ = CreateTemporary(); });
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  if (IsNamed(fd_, temporary_)) unlink(temporary_.c_str());  // while it is locked
  close(fd_);
}

int OutputFile::CreateTemporary() const {
  for (int tries = 0; tries < 100; ++tries) {
    const int fd =
        open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
      if (errno != EEXIST) Refuse("cannot be created");
      RemoveLeftOver();
      continue;
    }
    // A file system without locks protects from nobody, but can be written.
    const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && IsNamed(fd, temporary_)) return fd;
    close(fd);  // another took it for a left-over before it was locked
  }
  throw UserError(Sentence(path_, " cannot be created: others keep removing ", temporary_));
}

void OutputFile::RemoveLeftOver() const {
  const int fd = open(temporary_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const bool is_gone = errno == ENOENT || (errno == ELOOP && Remove(temporary_));  // a link
    if (!is_gone) Refuse("cannot be created");  // another's, perhaps under way
    return;
  }
  const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const bool is_gone = held || !IsNamed(fd, temporary_) || Remove(temporary_);
  const int error = errno;
  close(fd);
  errno = error;
  if (held) throw UserError(Sentence(path_, " is being written by another process"));
  if (!is_gone) Refuse("cannot be created");
}

void OutputFile::Append(const void* data, int64_t bytes) {
  const char* begin = static_cast<const char*>(data);
  if (buffer_.size() + bytes > kBufferBytes) Flush();
  if (bytes > static_cast<int64_t>(kBufferBytes)) {
    PWrite(written_, begin, bytes);
    written_ += bytes;
  } else {
    buffer_.insert(buffer_.end(), begin, begin + bytes);
  }
}

void OutputFile::WriteAt(int64_t offset, const void* data, int64_t bytes) {
  CHECK_LE(offset + bytes, this->bytes());
  Flush();
  PWrite(offset, static_cast<const char*>(data), bytes);
}

void OutputFile::ReadAt(int64_t offset, void* data, int64_t bytes) {
  CHECK_LE(offset + bytes, this->bytes());
  Flush();
  char* out = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = pread(fd_, out, bytes, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) Refuse("cannot be read back");
    out += count;
    offset += count;
    bytes -= count;
  }
}

void OutputFile::Sync() {
  Flush();
  if (fsync(fd_) != 0) Refuse("cannot be flushed to disk");
}

void OutputFile::Commit() {
  Sync();
  if (!IsNamed(fd_, temporary_)) {
    throw UserError(Sentence(path_, " is not written: another process has taken ", temporary_));
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) Refuse("cannot be given its name");
  unfinished_.reset();
  close(fd_);
  fd_ = -1;
  const std::string folder = std::filesystem::path(path_).parent_path();
  const int directory = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (directory < 0) return;  // a folder that may be written but not read
  fsync(directory);
  close(directory);
}

void OutputFile::Flush() {
  PWrite(written_, buffer_.data(), buffer_.size());
  written_ += buffer_.size();
  buffer_.clear();
}

void OutputFile::PWrite(int64_t offset, const char* data, int64_t bytes) {
  while (bytes > 0) {
    const ssize_t count = pwrite(fd_, data, bytes, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Refuse("cannot be written");
    data += count;
    offset += count;
    bytes -= count;
  }
}

void OutputFile::Refuse(const std::string& what) const {
  const int error = errno;
  const std::string after = written_ > 0 ? Sentence(" after ", written_, " bytes") : "";
  throw UserError(Sentence(path_, " ", what, after, ": ", strerror(error),
                           error == ENOSPC || error == EDQUOT || error == EFBIG
                               ? "; free space or choose another place"
                               : ""));
}

std::vector<std::string> FilesWrittenFor(const std::string& output) {
  const std::string path = FollowLinks(output);
  return {path, path + kUnfinishedSuffix, path + ".offsets" + kUnfinishedSuffix};
}

void RefuseToReplaceInput(const std::string& output, const std::vector<std::string>& inputs) {
  for (const std::string& path : FilesWrittenFor(output)) {
    struct stat written;
    if (stat(path.c_str(), &written) != 0) continue;  // it replaces nothing
    for (const std::string& input : inputs) {
      struct stat read;
      if (stat(input.c_str(), &read) != 0) continue;
      if (read.st_dev == written.st_dev && read.st_ino == written.st_ino) {
        throw UserError(Sentence("the output ", output, " is the input ", input,
                                 ", or would be made aside in its place; expected another file"));
      }
    }
  }
}

}  // namespace treeformer
