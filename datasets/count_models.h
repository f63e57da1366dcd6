#pragma once

// Predictions of a masked token from counts over a token file, without a network: what the loss of
// a model is measured against.
//
//   word frequencies   P(w) = (c(w) + 1) / (N + V)
//   neighbours         of the tokens l and r on both sides, backing off where they were seldom
//                      seen together (Dirichlet smoothing of strength m = 4):
//                        P(w | l) = (c(l w) + m P(w)) / (c(l) + m), P(w | r) likewise
//                        P(w | l r) = (c(l w r) + m (P(w | l) + P(w | r)) / 2) / (c(l . r) + m)
//                      a neighbour that is masked itself is unknown and left out
//
// Each sums to 1 over the vocabulary.  A document stands between [CLS] and [SEP].  Memory is
// bounded: the first 2^21 tokens of the file are counted, at most 48 bytes each.

#include <cstdint>
#include <vector>

#include "datasets/token_file.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

struct Prediction {
  double probability = 0;  // of the token asked for
  int32_t best = 0;        // the most probable token
};

class CountModels {
 public:
  CountModels(const TokenFile& file, const Vocabulary& vocabulary);

  Prediction FromFrequencies(int32_t target) const;
  Prediction FromNeighbours(int32_t left, int32_t right, int32_t target) const;

 private:
  // How often each token came in each context: sorted keys context * V + token.
  struct Counts {
    std::vector<uint64_t> keys;
    std::vector<int64_t> before;  // [keys + 1] sum of the counts of the keys before
  };
  struct Context {  // the keys [begin, end) of one context
    const Counts* counts;
    uint64_t first_key;
    size_t begin, end;

    int64_t Total() const { return counts->before[end] - counts->before[begin]; }
    int64_t CountOf(int32_t token) const;
  };

  static Counts Count(std::vector<uint64_t> keys);
  Context Find(const Counts& counts, uint64_t context) const;
  double Frequency(int32_t token) const;

  const uint64_t size_;  // V
  const int32_t mask_;
  std::vector<int64_t> frequency_;  // [V]
  int64_t tokens_ = 0;              // N
  int32_t most_frequent_ = 0;
  Counts left_, right_, both_;
};

}  // namespace treeformer::datasets
