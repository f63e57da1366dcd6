#pragma once

// MemoryDataset: examples in memory, each a list of token ids and a label, as a task of sequence
// classification has them.  They are sorted by length, the shortest first and those of one length
// in the order given, so that the batches of an evaluation have hardly any padding.  A batch is as
// long as its longest example.
//
//   tokens            the example's, positions 0, 1, ..., all in document 0
//   target_position   of its first token, [CLS]
//   target_token      the label

#include <vector>

#include "datasets/dataset.h"

namespace treeformer::datasets {

struct LabelledExample {
  std::vector<int32_t> tokens;  // with [CLS] and [SEP]
  int32_t label = 0;            // at least 0
};

class MemoryDataset : public Dataset {
 public:
  // UserError where there is no example, or one of them has no token, more than `longest`, or a
  // negative label.
  MemoryDataset(std::vector<LabelledExample> examples, int32_t pad, int64_t longest);

  int64_t samples() const override { return static_cast<int64_t>(examples_.size()); }
  int32_t pad() const override { return pad_; }
  int64_t BatchLength(std::span<const SampleKey> samples) const override;
  int64_t TargetsOf(int64_t) const override { return 1; }
  void Write(const SampleKey& key, int64_t row, Batch* batch) const override;

  // The place of a sample among the examples as they were given.
  int64_t ExampleOf(int64_t sample) const { return given_.at(sample); }

 private:
  const std::vector<LabelledExample> examples_;  // as given
  std::vector<int64_t> given_;                   // [samples] the example of a sample
  const int32_t pad_;
};

}  // namespace treeformer::datasets
