#pragma once

// ByteReader: the bytes of a file or pipe, decompressed.
//
// A file that cannot be read, or whose zstd frames are corrupt, cut short or need more
// memory than allowed, is a UserError; so is an empty .zst file, which zstd never writes,
// and a pipe that no program writes into for 10 seconds.

#include <cstdint>
#include <string>

#include "datasets/input_files.h"

typedef struct ZSTD_DCtx_s ZSTD_DCtx;

namespace treeformer::datasets {

class ByteReader {
 public:
  // Windows of zstd frames may take up to 2^zstd_window_log bytes of memory.
  ByteReader(const InputFile& file, int zstd_window_log);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  int64_t Read(char* data, int64_t bytes);  // uncompressed; fewer only at the end

  int64_t bytes_read() const { return bytes_read_; }  // of the file on disk

 private:
  int64_t ReadDisk(char* data, int64_t bytes);
  int64_t Decompress(char* data, int64_t bytes);
  [[noreturn]] void RefuseFrame(size_t status) const;

  const InputFile file_;
  const int zstd_window_log_;
  int fd_;
  std::string first_;  // read while it was opened
  int64_t bytes_read_ = 0;

  ZSTD_DCtx* zstd_ = nullptr;
  int64_t buffer_bytes_ = 0;  // of compressed_: small for a small file
  std::string compressed_;
  size_t compressed_begin_ = 0;
  bool inside_frame_ = true;  // a file holds at least one
};

}  // namespace treeformer::datasets
