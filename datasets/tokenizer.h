#pragma once

// Tokenizer: text -> token ids, BERT's basic tokenisation followed by WordPiece.
// No special tokens are added.  For one thread; it borrows the vocabulary.

#include <cstdint>
#include <string_view>
#include <vector>

#include "datasets/basic_tokenizer.h"
#include "datasets/vocabulary.h"
#include "datasets/wordpiece.h"

namespace treeformer::datasets {

class Tokenizer {
 public:
  Tokenizer(const Vocabulary& vocabulary, bool lower_case)
      : basic_(lower_case), wordpiece_(vocabulary) {}

  // Appends the tokens of `text`, valid UTF-8.
  void Encode(std::string_view text, std::vector<int32_t>* ids) {
    basic_.Tokenize(text, &words_);
    for (size_t i = 0; i < words_.size(); ++i) wordpiece_.Encode(words_[i], ids);
  }

 private:
  BasicTokenizer basic_;
  WordPiece wordpiece_;
  Words words_;
};

}  // namespace treeformer::datasets
