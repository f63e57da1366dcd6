#pragma once

// TrainVocabulary: text -> a WordPiece vocabulary, deterministic for every number of
// threads.  Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, the characters by code
// point, those that continue a word with "##", then the merged pieces (PairMerger),
// most frequent first.
//
// The alphabet is the most frequent characters: max_alphabet of them, or, where it is 0, 1,000
// (Hugging Face's limit) and as many more as 99.95 % of the text's characters take (SentencePiece's
// coverage), but no more than half of `size`.
//
// Memory is bounded by max_words: of more distinct words the rare ones are forgotten.
// It is a UserError when there is no text, or when `size` does not even hold the
// special tokens and the characters.  Little text may give fewer than `size` tokens.

#include <cstdint>

#include "datasets/prepare.h"
#include "datasets/text_source.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

struct VocabularyTrainerOptions {
  TextSourceOptions text = {};
  bool lower_case = true;         // the uncased BERT rule
  int32_t size = 30522;           // tokens, special ones included
  int64_t min_frequency = 2;      // a merged piece occurs at least so often
  int64_t max_alphabet = 0;       // characters; words with rarer ones are left out; 0: see below
  int64_t max_words = 2'000'000;  // distinct words in memory, about 200 bytes each
  int threads = 0;                // that count words; 0: one a core
};

struct VocabularyTrainerStatistics {
  int64_t words = 0;            // occurrences
  int64_t forgotten_words = 0;  // of them, rare ones beyond max_words
  int64_t left_out_words = 0;   // of them, with rare characters or more than 100
  int64_t distinct_words = 0;
  int64_t characters = 0;  // of the alphabet
  int64_t text_bytes = 0;  // uncompressed
  TextReport text;
  double seconds = 0;
};

Vocabulary TrainVocabulary(const VocabularyTrainerOptions& options,
                           VocabularyTrainerStatistics* statistics,
                           const PrepareProgress& progress = {});

}  // namespace treeformer::datasets
