#pragma once

// EvaluationLoader: exact evaluation.  It gives each sample of a dataset once, in its order, with
// the masks of epoch 0, in global batches that ranks and micro-batches share as in training.  The
// last batch is filled up with empty sequences.  There is no state: any batch may be asked for at
// any time.

#include "datasets/dataset.h"

namespace treeformer::datasets {

class EvaluationLoader {
 public:
  // At most `most_samples` of them, rounded up to whole global batches; 0: all.  The dataset
  // outlives this.
  EvaluationLoader(const Dataset& dataset, const BatchLayout& layout, uint64_t seed,
                   int64_t most_samples = 0);

  int64_t samples() const { return samples_; }  // that the batches of all ranks hold
  int64_t steps() const { return steps_; }      // global batches
  int micro_batches() const { return layout_.micro_batches; }

  // Micro-batch `micro` of this rank's part of the global batch `step`.
  Batch Get(int64_t step, int micro) const;

 private:
  const Dataset& dataset_;
  const BatchLayout layout_;
  const int64_t micro_batch_size_;
  const uint64_t seed_;
  int64_t samples_, steps_;
};

}  // namespace treeformer::datasets
