#pragma once

// The memory that a rank needs to train a model, from its configuration alone: what its layers
// report (core/model/stage_plan.h), and the gradients and moments beside the parameters.

#include "core/model/stage_plan.h"

namespace treeformer {

struct MemoryCost {  // bytes of one rank
  double parameters = 0, gradients = 0, moments = 0, activations = 0;
  double Total() const { return parameters + gradients + moments + activations; }
};

// `dtype` of the activations; parameters, gradients and moments are float32, on a GPU (bfloat16)
// with a rounded copy of the parameters.
MemoryCost CountMemory(const ModelConfig& model, const BatchShape& shape,
                       DType dtype = DType::kFloat32);

}  // namespace treeformer
