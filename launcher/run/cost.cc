#include "launcher/run/cost.h"

#include <glog/logging.h>

#include "kernels/matmul/linear.h"

namespace treeformer {

namespace {

bool IsFolded(const AttentionConfig& attention) {
  return attention.kind == AttentionKind::kTc && attention.tree.fold_projections;
}

int64_t CountTreeParameters(const ModelConfig& model, const AttentionConfig& attention) {
  if (attention.kind == AttentionKind::kFull) return 0;
  const int64_t planes = model.heads * attention.shape.planes();
  const int64_t alpha =
      attention.kind == AttentionKind::kTc ? model.heads * (attention.shape.height() + 1) : 0;
  if (IsFolded(attention)) return 2 * planes * (model.width + 1) + alpha;
  return planes * (model.head_width() + 1) + alpha;
}

int64_t CountLayerParameters(const ModelConfig& model, const AttentionConfig& attention) {
  const int64_t d = model.width, f = model.feed_forward;
  const int64_t projections = IsFolded(attention) ? 2 : 4;
  const int64_t norms = 2 * 2 * d;
  return projections * (d * d + d) + (d * f + f) + (f * d + d) + norms +
         CountTreeParameters(model, attention);
}

// Of the routing's gradient, one sequence.
double RouterFlops(const ModelConfig& model, const AttentionConfig& attention, double n,
                   double density) {
  const double d = static_cast<double>(model.width);
  const double nodes = static_cast<double>(attention.shape.total_nodes());
  const double interval = attention.tree.router_interval;
  const bool tc = attention.kind == AttentionKind::kTc;
  switch (attention.tree.gradient) {
    case TreeGradient::kFlip:
      return tc ? 2 * 2 * n * d * nodes : 4 * 2 * n * n * d * density;
    case TreeGradient::kDense:
      return (tc ? 2 * 2 * n * d * nodes : 2 * 2 * n * n * d) / interval;
    case TreeGradient::kNone:
      return 0;
  }
  return 0;
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
  for (const AttentionConfig& attention : model.attention) {
    count += CountLayerParameters(model, attention);
  }
  return count;
}

MemoryCost CountMemory(const ModelConfig& model, const BatchShape& shape, DType dtype) {
  constexpr double kBytes = sizeof(float);
  const double rows = static_cast<double>(shape.sequences * shape.length);
  const double d = static_cast<double>(model.width), f = static_cast<double>(model.feed_forward);
  const double targets = static_cast<double>(shape.targets);
  // Of a layer: q, k, v, o, the residual sum and the output of its attention block; then those of
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

double IdealDensity(const AttentionConfig& attention) {
  const bool full = attention.kind == AttentionKind::kFull;
  return full ? 1 : 1 / static_cast<double>(attention.shape.leaves());
}

double AttentionFlops(const ModelConfig& model, int64_t layer, double n, double density) {
  const AttentionConfig& attention = model.attention[layer];
  const double d = static_cast<double>(model.width);
  if (attention.kind == AttentionKind::kFull) return 4 * n * n * d;
  const double planes = static_cast<double>(attention.shape.planes_on_path());
  const double heads = IsFolded(attention) ? static_cast<double>(model.heads) : 1;
  const double routing = 4 * n * d * heads * planes;
  if (attention.kind == AttentionKind::kTf) return routing + 4 * n * n * d * density;
  return routing + 2 * d * (n + static_cast<double>(attention.shape.total_nodes()));
}

double AttentionShare(const ModelConfig& model, int64_t layer, double n, double density) {
  return AttentionFlops(model, layer, n, density) / (4 * n * n * static_cast<double>(model.width));
}

double ProjectionFlops(const ModelConfig& model, int64_t layer, double n) {
  const double d = static_cast<double>(model.width);
  return 2 * n * (IsFolded(model.attention[layer]) ? 2 : 4) * d * d;
}

double TrainingFlops(const ModelConfig& model, double n, double targets,
                     const std::vector<double>& density) {
  CHECK_EQ(static_cast<int64_t>(density.size()), model.layers);
  double flops = 3 * MatrixFlops(model, n, targets);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    flops += 3.5 * AttentionFlops(model, layer, n, density[layer]);
    if (model.attention[layer].kind != AttentionKind::kFull) {
      flops += RouterFlops(model, model.attention[layer], n, density[layer]);
    }
  }
  return flops;
}

}  // namespace treeformer
