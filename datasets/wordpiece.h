#pragma once

// WordPiece: word -> pieces, greedy longest match first.   Wu et al. 2016; BERT's
// WordpieceTokenizer
//
// A word of more than 100 code points (as in Hugging Face; Google's tokenization.py has 200),
// or one that the vocabulary cannot spell, is [UNK].  Frequent words are kept in a cache of bounded
// size, so an object is for one thread; it borrows the vocabulary.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/vocabulary.h"

namespace treeformer::datasets {

class WordPiece {
 public:
  static constexpr int64_t kMaxWordCodePoints = 100;

  explicit WordPiece(const Vocabulary& vocabulary);

  void Encode(std::string_view word, std::vector<int32_t>* ids);  // appends

 private:
  // Open addressing; words and pieces lie one after another in cached_words_, cached_ids_.
  struct Slot {
    uint64_t hash = 0;
    uint32_t word_begin = 0, word_bytes = 0;  // no bytes: a free slot
    uint32_t ids_begin = 0, ids_count = 0;
  };

  void Split(std::string_view word, std::vector<int32_t>* ids) const;  // without the cache
  void Remember(Slot* slot, uint64_t hash, std::string_view word, const int32_t* ids, size_t count);

  const Vocabulary& vocabulary_;
  std::vector<Slot> slots_;
  size_t used_slots_ = 0;
  std::string cached_words_;
  std::vector<int32_t> cached_ids_;
};

}  // namespace treeformer::datasets
