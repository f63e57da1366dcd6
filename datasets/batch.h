#pragma once

// Batch: the plain struct that crosses from the data to the model.  It holds one micro-batch of one
// rank in host memory: B sequences of n tokens.
//
// A position belongs to a document: tokens attend only inside their document, so
// packed documents never mix.  Documents of a sequence are numbered 0, 1, ... in
// ascending order; padding has document kPadding and stands at the end.

#include <cstdint>
#include <vector>

namespace treeformer::datasets {

constexpr int32_t kPadding = -1;   // Batch::document of a padding token
constexpr int32_t kNoTarget = -1;  // Batch::target_token of an unused target slot

struct Batch {
  int64_t sequences = 0;     // B
  int64_t length = 0;        // n, tokens per sequence
  int64_t first_sample = 0;  // place of sequence 0 in the global batch: keys masks and dropout

  std::vector<int32_t> tokens;     // [B, n] after masking; [PAD] where padding
  std::vector<int32_t> positions;  // [B, n] from 0 in each document
  std::vector<int32_t> types;      // [B, n] token type, 0 or 1
  std::vector<int32_t> document;   // [B, n] document inside the sequence, or kPadding

  // The masked positions to predict.  The capacity M is the same for every batch
  // (a multiple of B); unused slots have target_position 0 and target_token kNoTarget.
  std::vector<int32_t> target_position;  // [M] index into [B * n], ascending within a sequence
  std::vector<int32_t> target_token;     // [M] the original token

  void Resize(int64_t sequences, int64_t length, int64_t targets);  // all padding, no target
  int64_t CountTargets() const;                                     // used slots
  int64_t CountTokens() const;                                      // tokens that are not padding
};

}  // namespace treeformer::datasets
