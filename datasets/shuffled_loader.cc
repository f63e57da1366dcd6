#include "datasets/shuffled_loader.h"

#include <vector>

#include "datasets/permutation.h"

namespace treeformer::datasets {

ShuffledLoader::ShuffledLoader(const Dataset& dataset, const BatchLayout& layout, uint64_t seed)
    : dataset_(dataset),
      layout_(layout),
      micro_batch_size_(layout.MicroBatchSize()),
      state_{.seed = seed} {}

// `place` counts samples from the begin of the current epoch and may run past its end.
SampleKey ShuffledLoader::At(int64_t place) const {
  const int64_t samples = dataset_.samples(), epoch = state_.epoch + place / samples;
  const Permutation order(samples, state_.seed, epoch);
  return {state_.seed, epoch, order(place % samples)};
}

Batch ShuffledLoader::Get(int micro) {
  const int64_t first = layout_.FirstSample(micro);
  std::vector<SampleKey> samples;
  for (int64_t row = 0; row < micro_batch_size_; ++row) {
    samples.push_back(At(state_.next_sample + first + row));
  }
  Batch batch = MakeBatch(dataset_, samples, micro_batch_size_);
  batch.first_sample = first;
  return batch;
}

void ShuffledLoader::NextStep() {
  ++state_.step;
  state_.next_sample += layout_.batch_size;
  state_.epoch += state_.next_sample / dataset_.samples();
  state_.next_sample %= dataset_.samples();
}

}  // namespace treeformer::datasets
