#pragma once

// HeldOutSplit: documents -> a training file and a held-out file, no token in both.
//
//   long document   fraction * tokens >= min_tokens: its last `fraction` is held out, from the
//                   begin of a word (at most 2^24 tokens of it)
//   short document  every round(1 / fraction)-th of them is held out whole, first in the
//                   middle of the first such run
//
// Thus 65 novels and 100k notes both give a held-out part of about `fraction`.  A passage that the
// input itself holds twice may stand on both sides.  The split takes one pass, in order; its memory
// is bounded by min_tokens / fraction + 2^24 tokens.

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/token_file.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

class HeldOutSplit {
 public:
  // 0 < fraction <= 1/2.
  HeldOutSplit(const Vocabulary& vocabulary, double fraction, int64_t min_tokens,
               TokenFileWriter* training, TokenFileWriter* held_out);

  void Append(std::span<const int32_t> tokens);  // of the current document
  void EndDocument();                            // which is not empty

 private:
  int64_t TailTokens() const;  // of the current document, if it ended here
  bool IsLong() const { return TailTokens() >= min_tokens_; }

  const Vocabulary& vocabulary_;
  const double fraction_;
  const int64_t min_tokens_;
  TokenFileWriter* const training_;
  TokenFileWriter* const held_out_;

  std::vector<int32_t> buffer_;  // the last tokens of the document, not yet on either side
  int64_t document_tokens_ = 0;
  int64_t short_documents_ = 0;
};

}  // namespace treeformer::datasets
