#pragma once

// What a model costs, from its configuration alone: parameters, memory, floating-point operations
// (a multiply-add is 2).  n tokens, d width, e = d / H, f feed-forward, V vocabulary, h height:
//   matrices of a layer   2 n (4 d^2 + 2 d f);  of the last one 2 (4 n d^2 + M 2 d f)
//   attention             FULL 4 n^2 d,  TF 4 n^2 d density,  TC about 2 d (n + nodes)
//   routing               4 n d (planes on a path), for queries and keys
//   head                  2 M d (d + V) at the M masked positions
// Training: matrices 3 times the forward pass, attention 3.5 times (its backward is five products
// for two), and what the estimator of the routing gradient adds (core/attention/README.md, 3).

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

// The density of a balanced tree: 1 / leaves; 1 for FULL.
double IdealDensity(const AttentionConfig& attention);
// Forward pass of one sequence of n tokens through one layer's attention, routing included, without
// and with the projections W^Q, W^K, W^V, W^O (folded TC has no W^Q and W^K).
double AttentionFlops(const ModelConfig& model, int64_t layer, double n, double density);
double ProjectionFlops(const ModelConfig& model, int64_t layer, double n);
// AttentionFlops of a layer against those of full attention in its place.  TC does not depend on
// `density`.
double AttentionShare(const ModelConfig& model, int64_t layer, double n, double density);
// Forward and backward pass of one sequence with `targets` masked positions; density [layers], that
// of a TC layer is not read.
double TrainingFlops(const ModelConfig& model, double n, double targets,
                     const std::vector<double>& density);

}  // namespace treeformer
