#include "datasets/text_reader.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iomanip>

#include "datasets/utf8.h"
#include "kernels/user_error.h"

namespace datasets {

TextReader::TextReader(const InputFile& file, bool replace_invalid_utf8)
    : file_(file),
      replace_invalid_utf8_(replace_invalid_utf8),
      fd_(open(file.path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) throw UserError(Sentence(file.path, " cannot be opened: ", strerror(errno)));
  posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  if (file.compressed) zstd_ = ZSTD_createDCtx();
}

TextReader::~TextReader() {
  ZSTD_freeDCtx(zstd_);
  close(fd_);
}

bool TextReader::Read(int64_t bytes, std::string* text) {
  raw_.erase(0, raw_begin_);
  raw_begin_ = 0;
  const size_t kept = raw_.size();
  raw_.resize(kept + bytes);
  const int64_t count = ReadBytes(raw_.data() + kept, bytes);
  raw_.resize(kept + count);
  TakeValid(/*end_of_file=*/count < bytes, text);
  return count == bytes;
}

void TextReader::TakeValid(bool end_of_file, std::string* text) {
  for (;;) {
    Take(text, ValidUtf8Prefix(std::string_view(raw_).substr(raw_begin_)));
    if (raw_begin_ == raw_.size()) return;
    const Utf8Sequence sequence = FirstSequence(std::string_view(raw_).substr(raw_begin_));
    if (sequence.kind == Utf8Sequence::kIncomplete && !end_of_file) return;
    if (!replace_invalid_utf8_) RefuseInvalid();
    AppendUtf8(kReplacementCharacter, text);
    raw_begin_ += sequence.bytes;
    offset_ += sequence.bytes;
    ++replaced_sequences_;
  }
}

void TextReader::Take(std::string* text, int64_t bytes) {
  const auto begin = raw_.begin() + raw_begin_;
  text->append(begin, begin + bytes);
  line_ += std::count(begin, begin + bytes, '\n');
  raw_begin_ += bytes;
  offset_ += bytes;
}

void TextReader::RefuseInvalid() const {
  const int byte = static_cast<unsigned char>(raw_[raw_begin_]);
  throw UserError(Sentence(file_.path, ", line ", line_, ", byte ", offset_, ": invalid UTF-8 (0x",
                           std::hex, std::uppercase, std::setfill('0'), std::setw(2), byte,
                           "), expected UTF-8 text; convert it, or let invalid sequences be "
                           "replaced by U+FFFD"));
}

int64_t TextReader::ReadBytes(char* data, int64_t bytes) {
  return file_.compressed ? Decompress(data, bytes) : ReadDisk(data, bytes);
}

int64_t TextReader::ReadDisk(char* data, int64_t bytes) {
  int64_t done = 0;
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

int64_t TextReader::Decompress(char* data, int64_t bytes) {
  ZSTD_outBuffer output{data, static_cast<size_t>(bytes), 0};
  while (output.pos < output.size) {
    if (compressed_begin_ == compressed_.size()) {
      compressed_.resize(ZSTD_DStreamInSize());
      compressed_.resize(ReadDisk(compressed_.data(), compressed_.size()));
      compressed_begin_ = 0;
    }
    const bool end_of_file = compressed_.empty();
    if (end_of_file && !inside_frame_) break;
    ZSTD_inBuffer input{compressed_.data(), compressed_.size(), compressed_begin_};
    const size_t before = output.pos;
    const size_t status = ZSTD_decompressStream(zstd_, &output, &input);
    if (ZSTD_isError(status)) {
      throw UserError(
          Sentence(file_.path, " is not a sound zstd file: ", ZSTD_getErrorName(status)));
    }
    compressed_begin_ = input.pos;
    inside_frame_ = status != 0;
    if (end_of_file && inside_frame_ && output.pos == before) {
      throw UserError(Sentence(file_.path, " is cut short: it ends inside a zstd frame"));
    }
  }
  return output.pos;
}

}  // namespace datasets
