#pragma once

// TextReader: one file, plain or compressed, as a stream of valid UTF-8.
//
// An invalid sequence is a UserError with file, line and byte (of the uncompressed
// text), or, if so asked, becomes U+FFFD and is counted or marked.  A file that is no text is a
// BinaryFileError in both cases: it begins as those of another format do, has a NUL byte in its
// first 8 KiB, or more than a fifth of it is invalid or NUL.  A file that cannot be read is a
// UserError (see ByteReader).

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/byte_reader.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {

enum class InvalidUtf8 { kRefuse, kReplace, kMark };

class BinaryFileError : public UserError {
 public:
  using UserError::UserError;
};

class TextReader {
 public:
  struct Mark {
    int64_t position;      // of the U+FFFD in the text given so far
    std::string sentence;  // file, line, byte and what was found
  };

  TextReader(const InputFile& file, InvalidUtf8 invalid, int zstd_window_log);

  // Appends text of at least `bytes` bytes of the file and returns true, or appends
  // what is left, perhaps nothing, and returns false.
  bool Read(int64_t bytes, std::string* text);

  int64_t bytes_read() const { return bytes_.bytes_read(); }  // of the file on disk
  int64_t replaced_sequences() const { return replaced_sequences_; }

  // kMark: in order; the owner removes them.
  std::vector<Mark>& marks() { return marks_; }

 private:
  int64_t ReadBytes(char* data, int64_t bytes);         // fewer only at the end
  void TakeValid(bool end_of_file, std::string* text);  // from raw_
  void Take(std::string* text, int64_t bytes);          // valid bytes of raw_
  void Replace(int64_t bytes, std::string* text);       // invalid bytes of raw_
  std::string DescribeInvalid() const;                  // the sequence at the begin of raw_
  void RefuseNoText() const;                            // by the share of it

  const InputFile file_;
  const InvalidUtf8 invalid_;
  ByteReader bytes_;
  std::string head_;  // the first bytes, looked at and not yet given
  std::vector<Mark> marks_;
  int64_t replaced_sequences_ = 0;
  int64_t no_text_ = 0;  // bytes: invalid UTF-8 and NUL
  int64_t given_ = 0;    // bytes of text

  std::string raw_;  // bytes not yet given, at raw_begin_: at most an incomplete sequence
  size_t raw_begin_ = 0;
  int64_t offset_ = 0;  // of raw_begin_ in the uncompressed file
  int64_t line_ = 1;    // there
};

}  // namespace treeformer::datasets
