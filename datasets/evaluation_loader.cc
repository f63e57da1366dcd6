#include "datasets/evaluation_loader.h"

#include <glog/logging.h>

#include <algorithm>
#include <vector>

namespace treeformer::datasets {

EvaluationLoader::EvaluationLoader(const Dataset& dataset, const BatchLayout& layout, uint64_t seed,
                                   int64_t most_samples)
    : dataset_(dataset), layout_(layout), micro_batch_size_(layout.MicroBatchSize()), seed_(seed) {
  const int64_t wanted =
      most_samples > 0 ? std::min(most_samples, dataset.samples()) : dataset.samples();
  steps_ = (wanted + layout.batch_size - 1) / layout.batch_size;
  samples_ = std::min(steps_ * layout.batch_size, dataset.samples());
}

Batch EvaluationLoader::Get(int64_t step, int micro) const {
  CHECK(0 <= step && step < steps_) << step << " of " << steps_;
  const int64_t first = layout_.FirstSample(micro);
  const int64_t begin = step * layout_.batch_size + first;
  const int64_t end = std::min(begin + micro_batch_size_, samples_);
  std::vector<SampleKey> samples;
  for (int64_t i = begin; i < end; ++i) samples.push_back({seed_, /*epoch=*/0, i});
  Batch batch = MakeBatch(dataset_, samples, micro_batch_size_);
  batch.first_sample = first;
  return batch;
}

}  // namespace treeformer::datasets
