#include "datasets/output_file.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "datasets/regular_file.h"
#include "kernels/user_error.h"

namespace datasets {

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

}  // namespace

OutputFile::OutputFile(const std::string& path)
    : path_(FollowLinks(path)), temporary_(path_ + ".tmp"), unfinished_(temporary_) {
  const std::string kind = KindOfSpecialFile(path_);
  if (!kind.empty()) {
    throw UserError(Sentence(path, " is ", kind, ", expected the name of a file to write"));
  }
  constexpr int kNewFile = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  fd_ = open(temporary_.c_str(), kNewFile, 0666);
  if (fd_ < 0 && errno == EEXIST && unlink(temporary_.c_str()) == 0) {
    fd_ = open(temporary_.c_str(), kNewFile, 0666);
  }
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

std::vector<std::string> FilesWrittenFor(const std::string& output) {
  const std::string path = FollowLinks(output);
  return {path, path + ".tmp", path + ".offsets.tmp"};
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

}  // namespace datasets
