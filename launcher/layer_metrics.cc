#include "launcher/layer_metrics.h"

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/user_error.h"

namespace {

double TreeGradientNorm(Context& ctx, const Parameters& parameters, int64_t layer, double targets) {
  const std::string prefix = Sentence("bert.encoder.layer.", layer, ".");
  const Buffer sum(ctx.device(), DType::kFloat64, {1});
  double squares = 0;
  for (const Parameter& parameter : parameters.list()) {
    // name.tree, name.query_tree and name.key_tree, each with weight and bias; TC's tree.alpha.
    const bool tree = parameter.name.find("tree.") != std::string::npos;
    if (!tree || !parameter.name.starts_with(prefix)) continue;
    double value = 0;
    SquaredNorm(ctx, sum, Parameters::Window(parameters.gradients(), parameter));
    Copy(ctx, View<double>(&value, {1}), sum);
    ctx.Synchronize();
    squares += value;
  }
  return std::sqrt(squares) / std::max(targets, 1.0);
}

}  // namespace

LayerMetrics MeasureLayers(Context& ctx, dist::Communicator& communicator,
                           const MaskedLanguageModel& model, double targets) {
  LayerMetrics metrics;
  const auto mean = [&](double value) { return communicator.Sum(value) / communicator.size(); };
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    const bool full = model.config().attention[layer].kind == AttentionKind::kFull;
    metrics.density.push_back(1);
    if (full) continue;
    TreeStatistics statistics = model.ReadStatistics(ctx, layer);
    metrics.density.back() = mean(statistics.density);
    const std::string tag = Sentence("layer_", layer + 1 < 10 ? "0" : "", layer + 1);
    metrics.layers[tag] = {
        {"density", metrics.density.back()},
        {"leaf_entropy", mean(statistics.leaf_entropy)},
        {"empty_queries", mean(statistics.empty_queries)},
        {"mean_strength", mean(statistics.mean_strength)},
        {"tree_gradient_norm", TreeGradientNorm(ctx, model.parameters(), layer, targets)}};
    metrics.keys_per_leaf.emplace_back(tag + "/keys_per_leaf", std::move(statistics.keys_per_leaf));
  }
  return metrics;
}
