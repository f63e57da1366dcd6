#pragma once

// The batch on the device, in memory that stays for the life of the model.

#include "core/layer.h"
#include "datasets/batch.h"

namespace treeformer {

class DeviceBatch {
 public:
  DeviceBatch(Activations& activations, const BatchShape& shape);

  MicroBatch Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step);

 private:
  View<int32_t> tokens_, positions_, types_, document_, target_position_, target_token_;
};

}  // namespace treeformer
