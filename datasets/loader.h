#pragma once

// Loader: the batches of a training run.  What it gives is a pure function of
// (seed, epoch, step): the global batch of a step is the same for every number of
// ranks and micro-batches, and a rank takes a contiguous share of it.  Its whole
// state is four numbers, so that a checkpoint resumes it exactly.

#include <cstdint>

#include "datasets/batch.h"

namespace treeformer::datasets {

struct LoaderState {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t next_sample = 0;  // of this epoch, global
  int64_t step = 0;         // steps given since the start of the run
};

class Loader {
 public:
  virtual ~Loader() = default;

  // Micro-batch `micro` of `rank` at the current step.  The global batch of G sequences is cut
  // into ranks x micro_batches equal parts.
  virtual Batch Get(int micro) = 0;
  virtual void NextStep() = 0;

  virtual LoaderState state() const = 0;
  virtual void Restore(const LoaderState& state) = 0;
};

}  // namespace treeformer::datasets
