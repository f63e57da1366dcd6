#include "launcher/run/cost.h"

#include <glog/logging.h>

#include "core/attention/registry.h"
#include "kernels/matmul/linear.h"

namespace treeformer {

namespace {

int64_t CountLayerParameters(const ModelConfig& model, int64_t layer) {
  const int64_t d = model.width, f = model.feed_forward;
  const int64_t projections = model.attention[layer].tree.fold_projections ? 2 : 4;
  const int64_t norms = 2 * 2 * d;
  return projections * (d * d + d) + (d * f + f) + (f * d + d) + norms +
         CostOfAttention(model, layer, /*n=*/1).parameters;
}

double MatrixFlops(const ModelConfig& model, double n, double targets) {
  const double d = static_cast<double>(model.width), f = static_cast<double>(model.feed_forward);
  double flops = 2 * targets * d * (d + static_cast<double>(model.vocabulary));
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    flops += ProjectionFlops(model, layer, n);
  }
  // The last layer's feed-forward block is made at the targets alone.
  const double rows = static_cast<double>(model.layers - 1) * n + targets;
  return flops + 2 * rows * 2 * d * f;
}

}  // namespace

int64_t CountParameters(const ModelConfig& model) {
  const int64_t d = model.width, V = model.vocabulary;
  const int64_t embeddings = (V + model.max_positions + model.token_types) * d + 2 * d;
  const int64_t head = d * d + d + 2 * d + V;
  const int64_t final_norm = model.pre_norm ? 2 * d : 0;
  int64_t count = embeddings + head + final_norm;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    count += CountLayerParameters(model, layer);
  }
  return count;
}

MemoryCost CountMemory(const ModelConfig& model, const BatchShape& shape, DType dtype) {
  constexpr double kBytes = sizeof(float);
  const double rows = static_cast<double>(shape.sequences * shape.length);
  const double d = static_cast<double>(model.width), f = static_cast<double>(model.feed_forward);
  const double targets = static_cast<double>(shape.targets);
  // A layer keeps q, k, v, o, the residual sum and the output of its attention block; then those of
  // its feed-forward block, which the last layer makes at the targets alone.
  const double layers = static_cast<double>(model.layers);
  const double row = layers * 6 * d + (layers - 1) * (2 * d + 2 * f) + 3 * d;
  const double target =
      (2 * d + 2 * f) + 5 * d + static_cast<double>(AlignedColumns(model.vocabulary));
  MemoryCost memory;
  memory.parameters = kBytes * static_cast<double>(CountParameters(model));
  memory.gradients = memory.parameters;
  memory.moments = 2 * memory.parameters;
  if (dtype == DType::kBFloat16) memory.parameters *= 1.5;
  memory.activations = static_cast<double>(SizeOf(dtype)) * (rows * row + targets * target);
  return memory;
}

double ProjectionFlops(const ModelConfig& model, int64_t layer, double n) {
  const double d = static_cast<double>(model.width);
  return 2 * n * (model.attention[layer].tree.fold_projections ? 2 : 4) * d * d;
}

double TrainingFlops(const ModelConfig& model, double n, double targets,
                     const std::vector<double>& density) {
  CHECK_EQ(static_cast<int64_t>(density.size()), model.layers);
  double flops = 3 * MatrixFlops(model, n, targets);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    flops += CostOfAttention(model, layer, n, density[layer]).Training();
  }
  return flops;
}

}  // namespace treeformer
