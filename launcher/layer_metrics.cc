#include "launcher/layer_metrics.h"

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/user_error.h"
#include "launcher/evaluation.h"

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
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    const AttentionConfig& attention = model.config().attention[layer];
    metrics.density.push_back(1);
    metrics.empty_queries.push_back(0);
    if (attention.kind == AttentionKind::kFull) continue;
    TreeStatistics statistics = model.ReadStatistics(ctx, layer);
    const PairCounts all = SumOverRanks(communicator, statistics.counts);
    const auto mean = [&](double value) {  // a rank weighs what it has of the queries
      const double sum = communicator.Sum(value * statistics.counts.queries);
      return all.queries > 0 ? sum / all.queries : 0;
    };
    metrics.density.back() = DensityOf(attention, all);
    metrics.empty_queries.back() = all.EmptyShare();
    const std::string tag = Sentence("layer_", layer + 1 < 10 ? "0" : "", layer + 1);
    nlohmann::ordered_json& record = metrics.layers[tag];
    if (attention.kind == AttentionKind::kTf) record["density"] = all.Density();
    record["leaf_entropy"] = mean(statistics.leaf_entropy);
    record["empty_queries"] = all.EmptyShare();
    record["mean_strength"] = mean(statistics.mean_strength);
    record["tree_gradient_norm"] = TreeGradientNorm(ctx, model.parameters(), layer, targets);
    metrics.keys_per_leaf.emplace_back(tag + "/keys_per_leaf", std::move(statistics.keys_per_leaf));
  }
  return metrics;
}
