#pragma once

// Sequences: the samples of token files, one file after another.  A document longer than fits
// becomes consecutive pieces (the paper's rule), each [CLS] piece [SEP].  A sample is one piece,
// or, packed, as many consecutive pieces as fit; attention stays inside a piece, positions count
// from 0 in each. Memory: 8 bytes a document, packed also 8 bytes a sample.

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/token_file.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

class Sequences {
 public:
  // Borrows the files.  length >= 3.
  Sequences(std::span<const TokenFile> files, const Vocabulary& vocabulary, int64_t length,
            bool pack);

  int64_t samples() const { return samples_; }
  int64_t length() const { return length_; }

  // Writes sample i into rows of `length` numbers that hold padding (datasets/batch.h).  An id
  // that is not of the vocabulary is a UserError: the file changed after it was verified.
  void Write(int64_t i, std::span<int32_t> tokens, std::span<int32_t> positions,
             std::span<int32_t> document) const;

 private:
  int64_t pieces() const { return first_piece_.back(); }
  std::span<const int32_t> Document(int64_t i) const;
  std::span<const int32_t> Piece(int64_t i) const;

  const std::span<const TokenFile> files_;
  const int64_t length_, piece_tokens_;  // piece_tokens: length less [CLS] and [SEP]
  const int32_t vocabulary_size_, cls_, sep_;
  int64_t samples_ = 0;
  std::vector<int64_t> first_document_;  // [files + 1] the file's documents
  std::vector<int64_t> first_piece_;     // [documents + 1] the document's pieces
  std::vector<int64_t> packed_begin_;    // [samples + 1] the sample's pieces; empty: not packed
};

}  // namespace treeformer::datasets
