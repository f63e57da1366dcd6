#include "datasets/dataset.h"

#include <glog/logging.h>

#include <algorithm>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {

Batch MakeBatch(const Dataset& dataset, std::span<const SampleKey> samples, int64_t sequences) {
  CHECK_LE(std::ssize(samples), sequences);
  const int64_t length = dataset.BatchLength(samples);
  Batch batch;
  batch.Resize(sequences, length, sequences * dataset.TargetsOf(length));
  std::fill(batch.tokens.begin(), batch.tokens.end(), dataset.pad());
  int64_t row = 0;
  for (const SampleKey& key : samples) dataset.Write(key, row++, &batch);
  return batch;
}

int64_t BatchLayout::MicroBatchSize() const {
  const int64_t parts = int64_t{ranks} * micro_batches;
  if (micro_batches < 1 || batch_size < 1 || batch_size % parts != 0) {
    throw UserError(Sentence("training.batch_size is ", batch_size,
                             "; it must be a multiple of the number of ranks, ", ranks,
                             ", times training.micro_batches, ", micro_batches));
  }
  return batch_size / parts;
}

int64_t BatchLayout::FirstSample(int micro) const {
  CHECK(0 <= micro && micro < micro_batches) << micro << " of " << micro_batches;
  return (int64_t{rank} * micro_batches + micro) * MicroBatchSize();
}

}  // namespace treeformer::datasets
