#pragma once

// Dataset: numbered samples, each of which becomes one sequence of a batch.  What a sample looks
// like is a pure function of its key, so that the order in which loaders ask for samples, and the
// rank that asks, change nothing.  May be read by several threads.
//
//   training, epochs in random order       datasets/shuffled_loader.h
//   evaluation, every sample once          datasets/evaluation_loader.h

#include <cstdint>
#include <span>

#include "datasets/batch.h"

namespace treeformer::datasets {

// Everything that a sample's tokens, targets and masks depend on.
struct SampleKey {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t sample = 0;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t samples() const = 0;  // at least 1
  virtual int32_t pad() const = 0;      // the token behind the last of a sequence
  // n of a batch of these samples, which may be none: the same for all where the length is fixed,
  // else that of the longest.  At least 1.
  virtual int64_t BatchLength(std::span<const SampleKey> samples) const = 0;
  // Targets that a sequence of a batch of this length can have at most.
  virtual int64_t TargetsOf(int64_t length) const = 0;
  // Writes the sample into sequence `row` of a batch, which holds padding there.
  virtual void Write(const SampleKey& key, int64_t row, Batch* batch) const = 0;
};

// A batch of `sequences` of them: `samples` in this order, then empty ones.
Batch MakeBatch(const Dataset& dataset, std::span<const SampleKey> samples, int64_t sequences);

// The part of the global batch that one rank loads.
struct BatchLayout {
  int64_t batch_size = 0;  // G, sequences of the global batch
  int rank = 0;
  int ranks = 1;
  int micro_batches = 1;  // of a rank

  // UserError unless G is a multiple of ranks * micro_batches.
  int64_t MicroBatchSize() const;
  // The place in the global batch of the first sequence of a micro-batch of this rank.
  int64_t FirstSample(int micro) const;
};

}  // namespace treeformer::datasets
