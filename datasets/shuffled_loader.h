#pragma once

// ShuffledLoader: training order.  It gives epochs of all samples of a dataset, each in a random
// order of its own and with masks of its own.  The stream of samples runs on over the end of an
// epoch, and nothing is dropped.

#include "datasets/dataset.h"
#include "datasets/loader.h"

namespace treeformer::datasets {

class ShuffledLoader : public Loader {
 public:
  // The dataset outlives this.
  ShuffledLoader(const Dataset& dataset, const BatchLayout& layout, uint64_t seed);

  Batch Get(int micro) override;
  void NextStep() override;
  LoaderState state() const override { return state_; }
  void Restore(const LoaderState& state) override { state_ = state; }

 private:
  SampleKey At(int64_t place) const;

  const Dataset& dataset_;
  const BatchLayout layout_;
  const int64_t micro_batch_size_;
  LoaderState state_;
};

}  // namespace treeformer::datasets
