#pragma once

// Prepare: text -> token files.  One thread reads, `threads` tokenise, the calling
// thread writes; the files are bit-identical for every number of threads and memory
// is bounded whatever the input's size.  The files appear under their names only
// when they are whole; what cannot be used is a UserError and leaves none of them.

#include <cstdint>
#include <functional>
#include <string>

#include "datasets/text_source.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

struct PrepareOptions {
  TextSourceOptions text = {};
  bool lower_case = true;             // the uncased BERT rule: lower case, no accents
  std::string output;                 // the token file
  std::string held_out_output;        // a second one; empty: nothing is held out
  double held_out_fraction = 0.01;    // of the text, in [0.0001, 0.5]; see HeldOutSplit
  int64_t held_out_min_tokens = 512;  // shortest tail of a long document worth holding out
  int threads = 0;                    // that tokenise; 0: one a core
};

struct PrepareStatistics {
  int64_t documents = 0;        // with at least one token
  int64_t empty_documents = 0;  // left out
  int64_t tokens = 0;           // in both files
  int64_t unknown_tokens = 0;   // of them, [UNK]
  int64_t held_out_documents = 0, held_out_tokens = 0;
  int64_t text_bytes = 0;  // uncompressed
  TextReport text;
  double seconds = 0;
};

// Called from the calling thread after every block, with bytes on disk.
using PrepareProgress = std::function<void(int64_t bytes_read, int64_t total_bytes)>;

PrepareStatistics Prepare(const Vocabulary& vocabulary, const PrepareOptions& options,
                          const PrepareProgress& progress = {});

}  // namespace treeformer::datasets
