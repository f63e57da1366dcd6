#pragma once

// TextReader: one file, plain or compressed, as a stream of valid UTF-8.
//
// An invalid sequence is a UserError with file, line and byte (of the uncompressed
// text), or, if so asked, becomes U+FFFD and is counted.  A file that cannot be
// read, or whose compressed frames are corrupt or cut short, is a UserError.

#include <cstdint>
#include <memory>
#include <string>

#include "datasets/input_files.h"

typedef struct ZSTD_DCtx_s ZSTD_DCtx;

namespace datasets {

class TextReader {
 public:
  TextReader(const InputFile& file, bool replace_invalid_utf8);
  ~TextReader();
  TextReader(const TextReader&) = delete;
  TextReader& operator=(const TextReader&) = delete;

  // Appends text of at least `bytes` bytes of the file and returns true, or appends
  // what is left, perhaps nothing, and returns false.
  bool Read(int64_t bytes, std::string* text);

  int64_t bytes_read() const { return bytes_read_; }  // of the file on disk
  int64_t replaced_sequences() const { return replaced_sequences_; }

 private:
  int64_t ReadBytes(char* data, int64_t bytes);  // uncompressed; fewer only at the end
  int64_t ReadDisk(char* data, int64_t bytes);
  int64_t Decompress(char* data, int64_t bytes);
  void TakeValid(bool end_of_file, std::string* text);  // from raw_
  void Take(std::string* text, int64_t bytes);          // valid bytes of raw_
  void RefuseInvalid() const;                           // the sequence at the begin of raw_

  const InputFile file_;
  const bool replace_invalid_utf8_;
  int fd_;
  int64_t bytes_read_ = 0;
  int64_t replaced_sequences_ = 0;

  std::string raw_;  // bytes not yet given, at raw_begin_: at most an incomplete sequence
  size_t raw_begin_ = 0;
  int64_t offset_ = 0;  // of raw_begin_ in the uncompressed file
  int64_t line_ = 1;    // there

  ZSTD_DCtx* zstd_ = nullptr;
  std::string compressed_;
  size_t compressed_begin_ = 0;
  bool inside_frame_ = false;
};

}  // namespace datasets
