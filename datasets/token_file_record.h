#pragma once

// TokenFileRecord: what reading a whole token file found, and in which file.  A file of the same
// size, time, place on disk and header has not been written since: its checksum and ids need not
// be read again.  (Bits that the disk itself loses are not seen so.)
//
// Records are kept as text, a line each: bytes, time, inode, header, tokens, unknown.  A line that
// cannot be read is no record.

#include <cstdint>
#include <string>
#include <vector>

namespace treeformer::datasets {

struct TokenFileRecord {
  int64_t bytes = 0;
  int64_t modified = 0;  // nanoseconds since 1970
  uint64_t inode = 0;
  uint64_t header = 0;  // its checksum; the header holds that of the rest
  int64_t tokens = 0;
  int64_t unknown_tokens = 0;  // of them, [UNK]

  bool IsOfSameFile(const TokenFileRecord& other) const {
    return bytes == other.bytes && modified == other.modified && inode == other.inode &&
           header == other.header;
  }
  bool operator==(const TokenFileRecord&) const = default;
};
using TokenFileRecords = std::vector<TokenFileRecord>;

TokenFileRecords LoadTokenFileRecords(const std::string& path);  // of no file: none
void SaveTokenFileRecords(const TokenFileRecords& records, const std::string& path);

}  // namespace treeformer::datasets
