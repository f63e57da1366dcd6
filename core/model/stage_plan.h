#pragma once

// What layers [begin, end) of a model cost for a micro-batch: the sum of what each layer says of
// itself, and the memory that the layers would take.  Nothing is allocated.

#include <optional>
#include <string>
#include <vector>

#include "core/model/layer_list.h"

namespace treeformer {

struct LayerPlan {
  std::string name;
  int64_t parameters = 0;   // scalars
  int64_t activations = 0;  // bytes that it keeps
  LayerCost cost;
};

struct StagePlan {
  std::vector<LayerPlan> layers;
  int64_t between = 0;      // bytes of the batch, the tensors between the layers, their gradients
  int64_t temporaries = 0;  // bytes of the layer that takes most of them; operations take more

  int64_t Parameters() const;
  int64_t Activations() const;  // with those between the layers
  double TrainingFlops() const;
};

// density [encoder layers], as measured; empty: that of balanced trees.
StagePlan PlanStage(const ModelConfig& config, const BatchShape& shape, DType dtype,
                    const std::vector<double>& density = {},
                    std::optional<LayerRange> range = std::nullopt);

}  // namespace treeformer
