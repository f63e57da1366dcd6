#pragma once

// Masking for masked-LM pretraining.                                Devlin et al. 2019, section 3.1
//
// `rate` of a sequence's ordinary tokens are targets: max(1, round(rate * ordinary)), or 0 where
// there is none.  mask_share of them become [MASK], random_share become a random ordinary token,
// and the rest stay.  Special tokens and padding are never targets, [UNK] only with
// unknown_targets; it never replaces one.  The choice is a pure function of (seed, epoch, sample).
// With whole_word the targets are whole words (a piece and the "##" pieces behind it), as many as
// fit into the same number; where not even one fits, the first pieces of one.

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/dataset_config.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

class Masker {
 public:
  Masker(const Vocabulary& vocabulary, const MaskingConfig& config);

  // Targets that a sequence of `length` tokens can have at most.
  int64_t Capacity(int64_t length) const { return Count(length - 2); }

  // Replaces tokens in place.  `positions` receives the targets in ascending order, `originals`
  // the tokens that stood there.
  void Mask(std::span<int32_t> tokens, const SampleKey& key, std::vector<int32_t>* positions,
            std::vector<int32_t>* originals) const;

 private:
  int64_t Count(int64_t ordinary) const;
  std::vector<int32_t> Choose(std::span<const int32_t> tokens, const SampleKey& key) const;

  const MaskingConfig config_;
  int32_t mask_;
  std::vector<char> never_, continuation_;  // by id: may not be a target; is a "##" piece
  std::vector<int32_t> ordinary_;           // ids that are not special
};

}  // namespace treeformer::datasets
