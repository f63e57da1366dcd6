#include "datasets/output_file.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/user_error.h"

namespace datasets {

constexpr size_t kBufferBytes = 1 << 20;

OutputFile::OutputFile(const std::string& path)
    : path_(path), temporary_(path + ".tmp"), unfinished_(temporary_) {
  fd_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) Refuse("cannot be created");
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
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
  if (rename(temporary_.c_str(), path_.c_str()) != 0) Refuse("cannot be given its name");
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
  throw UserError(Sentence(path_, " ", what, " after ", written_, " bytes: ", strerror(error),
                           error == ENOSPC || error == EDQUOT || error == EFBIG
                               ? "; free space or choose another place"
                               : ""));
}

}  // namespace datasets
