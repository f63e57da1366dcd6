#pragma once

// Token files: documents of token ids on disk, memory-mapped for reading.
//
//   header    64 bytes: magic "TREETOKS", version, vocabulary size and hash, number of
//             documents D and of tokens T, checksum of the rest, checksum of the header
//   tokens    int32 [T], the documents one after another, without special tokens
//   padding   0 or 4 zero bytes, so that what follows is aligned
//   offsets   int64 [D + 1], document i is tokens [offsets[i], offsets[i + 1])
//
// Numbers are little-endian.  Checksums are XXH3-64.  No document is empty.  A file that is
// not a token file, of another version, cut short, corrupt, or made with another
// vocabulary is a UserError that names it.  An open file is safe to use: the offsets rise
// from 0 to T, the ids are of the vocabulary.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "datasets/token_file_record.h"
#include "datasets/vocabulary.h"
#include "kernels/base/mapped_file.h"
#include "kernels/base/output_file.h"

typedef struct XXH3_state_s XXH3_state_t;

namespace treeformer::datasets {

// Reads.  May be read by many threads at once.
class TokenFile {
 public:
  // Reads the whole file once to verify its checksum and ids.
  static TokenFile Open(const std::string& path,
                        std::optional<uint64_t> expected_vocabulary_hash = std::nullopt);
  // The same, unless one of `verified` is of this very file, and counts unknown tokens.
  static TokenFile Open(const std::string& path, const Vocabulary& vocabulary,
                        const TokenFileRecords& verified = {});

  const std::string& path() const { return path_; }
  int64_t documents() const { return offsets_.size() - 1; }
  int64_t tokens() const { return tokens_.size(); }
  int32_t vocabulary_size() const { return vocabulary_size_; }
  uint64_t vocabulary_hash() const { return vocabulary_hash_; }

  std::span<const int32_t> Document(int64_t i) const {
    return tokens_.subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  std::span<const int64_t> offsets() const { return offsets_; }  // [documents + 1]
  // Its unknown_tokens are those of the vocabulary that the file was opened with; without, 0.
  const TokenFileRecord& record() const { return record_; }

 private:
  explicit TokenFile(const std::string& path);  // checks header and offsets
  void CheckVocabulary(uint64_t hash) const;
  void CheckPayload(int32_t unknown);  // its checksum and every id; counts `unknown`

  std::string path_;
  MappedFile file_;
  std::span<const int32_t> tokens_;
  std::span<const int64_t> offsets_;
  int32_t vocabulary_size_ = 0;
  uint64_t vocabulary_hash_ = 0;
  uint64_t payload_checksum_ = 0;
  TokenFileRecord record_;
};

// Writes PATH, aside until Finish().  Memory is bounded whatever the number of documents: their
// offsets wait in a second file.
class TokenFileWriter {
 public:
  TokenFileWriter(const std::string& path, uint64_t vocabulary_hash, int32_t vocabulary_size);
  ~TokenFileWriter();

  // The next tokens of the current document; a document may come in many pieces.
  void Append(std::span<const int32_t> tokens);
  void EndDocument();  // a document without tokens is a CHECK
  void Seal();         // after the last document: all is on disk, without its name
  void Finish();       // seals; after it the file exists under its name

  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }  // of ended documents

 private:
  void AppendPayload(const void* data, int64_t bytes);

  OutputFile file_, offsets_;
  XXH3_state_t* checksum_;
  uint64_t vocabulary_hash_;
  int32_t vocabulary_size_;
  int64_t documents_ = 0, tokens_ = 0;
  int64_t open_tokens_ = 0;  // of the current document
  bool sealed_ = false;
};

}  // namespace treeformer::datasets
