#pragma once

// What a model costs, from its configuration alone: parameters, memory, floating-point operations
// (a multiply-add is 2).  n tokens, d width, e = d / H, f feed-forward, V vocabulary, h height:
//   matrices of a layer   2 n (4 d^2 + 2 d f);  of the last one 2 (4 n d^2 + M 2 d f)
//   attention             what its row of core/attention/registry.h says
//   head                  2 M d (d + V) at the M masked positions
// Training: matrices 3 times the forward pass.

#include "core/model_config.h"

namespace treeformer {

struct MemoryCost {  // bytes of one rank
  double parameters = 0, gradients = 0, moments = 0, activations = 0;
  double Total() const { return parameters + gradients + moments + activations; }
};

int64_t CountParameters(const ModelConfig& model);
// `dtype` of the activations; parameters, gradients and moments are float32, on a GPU (bfloat16)
// with a rounded copy of the parameters.
MemoryCost CountMemory(const ModelConfig& model, const BatchShape& shape,
                       DType dtype = DType::kFloat32);

// Forward pass of one sequence of n tokens through the projections W^Q, W^K, W^V, W^O of a layer
// (folded TC has no W^Q and W^K).
double ProjectionFlops(const ModelConfig& model, int64_t layer, double n);
// Forward and backward pass of one sequence with `targets` masked positions; density [layers], as
// measured, which is read of layers with trees alone.
double TrainingFlops(const ModelConfig& model, double n, double targets,
                     const std::vector<double>& density);

}  // namespace treeformer
