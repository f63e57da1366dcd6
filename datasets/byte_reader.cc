#include "datasets/byte_reader.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <poll.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

constexpr int64_t kLeastBufferBytes = 4096;

int Open(const std::string& path, int flags) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) throw UserError(Sentence(path, " cannot be opened: ", strerror(errno)));
  return fd;
}

// A pipe without a writer would be waited for without end where it is opened, and is at its end
// where it is read: returns when there is a writer, or was one.  *first takes what was read. Closes
// a pipe that it refuses.
void AwaitWriter(int fd, const std::string& path, std::string* first) {
  constexpr std::chrono::seconds kPatience(10);
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < kPatience) {
    pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&event, 1, /*milliseconds=*/100) > 0) return;
    char byte;
    const ssize_t count = read(fd, &byte, 1);
    if (count > 0) first->push_back(byte);
    if (count > 0 || (count < 0 && errno == EAGAIN)) return;  // a writer that takes its time
  }
  close(fd);
  throw UserError(Sentence(path, " is a pipe that no program writes into, expected text"));
}

}  // namespace

ByteReader::ByteReader(const InputFile& file, int zstd_window_log)
    : file_(file),
      zstd_window_log_(zstd_window_log),
      fd_(Open(file.path, file.pipe ? O_NONBLOCK : 0)) {
  if (file.pipe) {
    AwaitWriter(fd_, file.path, &first_);
    CHECK_EQ(fcntl(fd_, F_SETFL, 0), 0);
  }
  posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  if (!file.compressed) return;
  buffer_bytes_ = ZSTD_DStreamInSize();
  if (!file.pipe) {  // one byte more than it has: the end is seen
    buffer_bytes_ = std::clamp<int64_t>(file.bytes + 1, kLeastBufferBytes, buffer_bytes_);
  }
  zstd_ = ZSTD_createDCtx();
  CHECK(zstd_ != nullptr);
  const size_t status = ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, zstd_window_log);
  CHECK(!ZSTD_isError(status)) << ZSTD_getErrorName(status);
}

ByteReader::~ByteReader() {
  ZSTD_freeDCtx(zstd_);
  close(fd_);
}

int64_t ByteReader::Read(char* data, int64_t bytes) {
  return file_.compressed ? Decompress(data, bytes) : ReadDisk(data, bytes);
}

int64_t ByteReader::ReadDisk(char* data, int64_t bytes) {
  int64_t done = std::min<int64_t>(bytes, first_.size());
  first_.copy(data, done);
  first_.erase(0, done);
  while (done < bytes) {
    const ssize_t count = read(fd_, data + done, bytes - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw UserError(Sentence(file_.path, " cannot be read: ", strerror(errno)));
    if (count == 0) break;
    done += count;
  }
  bytes_read_ += done;
  return done;
}

int64_t ByteReader::Decompress(char* data, int64_t bytes) {
  ZSTD_outBuffer output{data, static_cast<size_t>(bytes), 0};
  while (output.pos < output.size) {
    if (compressed_begin_ == compressed_.size()) {
      compressed_.resize(buffer_bytes_);
      compressed_.resize(ReadDisk(compressed_.data(), compressed_.size()));
      compressed_begin_ = 0;
    }
    const bool end_of_file = compressed_.empty();
    if (end_of_file && !inside_frame_) break;
    if (end_of_file && bytes_read_ == 0) {
      throw UserError(Sentence(file_.path, " is empty, expected at least one zstd frame"));
    }
    ZSTD_inBuffer input{compressed_.data(), compressed_.size(), compressed_begin_};
    const size_t before = output.pos;
    const size_t status = ZSTD_decompressStream(zstd_, &output, &input);
    if (ZSTD_isError(status)) RefuseFrame(status);
    compressed_begin_ = input.pos;
    inside_frame_ = status != 0;
    if (end_of_file && inside_frame_ && output.pos == before) {
      throw UserError(Sentence(file_.path, " is cut short: it ends inside a zstd frame"));
    }
  }
  return output.pos;
}

void ByteReader::RefuseFrame(size_t status) const {
  const ZSTD_ErrorCode code = ZSTD_getErrorCode(status);
  if (code == ZSTD_error_frameParameter_windowTooLarge) {
    throw UserError(Sentence(
        file_.path, " holds a zstd frame whose window takes more memory than zstd_window_log ",
        zstd_window_log_, " allows (", (int64_t{1} << zstd_window_log_) >> 10,
        " KiB); expected a smaller one, or allow up to 31 (2 GiB)"));
  }
  if (code == ZSTD_error_memory_allocation) {
    throw UserError(
        Sentence(file_.path, " holds a zstd frame whose window takes more memory than there is"));
  }
  throw UserError(Sentence(file_.path, " is not a sound zstd file: ", ZSTD_getErrorName(status)));
}

}  // namespace treeformer::datasets
