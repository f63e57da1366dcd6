#include "launcher/training/layer_metrics.h"

#include <algorithm>
#include <cmath>

#include "core/attention/registry.h"
#include "kernels/adamw.h"
#include "kernels/base/user_error.h"
#include "launcher/training/evaluation.h"

namespace treeformer {

namespace {

double TreeGradientNorm(Context& ctx, const Parameters& parameters, int64_t layer, double targets) {
  double squares = 0;
  for (const Parameter& parameter : parameters.list()) {
    if (!IsOfTree(parameter.role) || parameter.layer != layer) continue;
    squares += ReadSquaredNorm(ctx, Parameters::Window(parameters.gradients(), parameter));
  }
  return std::sqrt(squares) / std::max(targets, 1.0);
}

}  // namespace

void LayerStatistics::Add(Context& ctx, const ModelStage& model) {
  layers_.resize(model.config().layers);
  ++micro_batches_;
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    const TreeStatistics statistics = model.ReadStatistics(ctx, layer);
    Sums& sums = layers_[layer];
    sums.counts += statistics.counts;
    sums.leaf_entropy += statistics.leaf_entropy * statistics.counts.queries;
    sums.strength += statistics.mean_strength * statistics.counts.queries;
    sums.keys_per_leaf.resize(statistics.keys_per_leaf.size());
    for (size_t i = 0; i < sums.keys_per_leaf.size(); ++i) {
      sums.keys_per_leaf[i] += statistics.keys_per_leaf[i];
    }
  }
}

LayerMetrics LayerStatistics::Take(Context& ctx, dist::Communicator& communicator,
                                   const ModelStage& model, int64_t length, double targets) {
  const double parts = communicator.Sum(static_cast<double>(micro_batches_));
  LayerMetrics metrics;
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    Sums& sums = layers_.at(layer);
    const PairCounts all = SumOverRanks(communicator, sums.counts);
    metrics.trees.Add(model.config(), length, all);
    const AttentionConfig& attention = model.config().attention[layer];
    if (!attention.HasTrees()) continue;
    const std::string tag = Sentence("layer_", layer + 1 < 10 ? "0" : "", layer + 1);
    nlohmann::ordered_json& record = metrics.layers[tag];
    if (attention.kind->has_pairs) record["density"] = all.Density();
    record["operations"] = metrics.trees.operations.back();
    record["leaf_entropy"] = communicator.Sum(sums.leaf_entropy) / all.queries;
    record["empty_queries"] = all.EmptyShare();
    record["mean_strength"] = communicator.Sum(sums.strength) / all.queries;
    record["tree_gradient_norm"] = TreeGradientNorm(ctx, model.parameters(), layer, targets);
    communicator.Sum(sums.keys_per_leaf);
    for (double& keys : sums.keys_per_leaf) keys /= parts;
    metrics.keys_per_leaf.emplace_back(tag + "/keys_per_leaf", std::move(sums.keys_per_leaf));
  }
  *this = {};
  return metrics;
}

}  // namespace treeformer
