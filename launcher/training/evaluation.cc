#include "launcher/training/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/attention/registry.h"

namespace treeformer {

MetricSums SumOverRanks(dist::Communicator& communicator, MetricSums metrics) {
  metrics.sums.push_back(static_cast<double>(metrics.targets));
  communicator.Sum(metrics.sums);
  metrics.targets = static_cast<int64_t>(metrics.sums.back());
  metrics.sums.pop_back();
  return metrics;
}

PairCounts SumOverRanks(dist::Communicator& communicator, const PairCounts& counts) {
  std::array<double, 4> sums = {counts.pairs, counts.all_pairs, counts.queries,
                                counts.empty_queries};
  communicator.Sum(sums);
  return {sums[0], sums[1], sums[2], sums[3]};
}

void TreeShares::Add(const ModelConfig& model, int64_t length, const PairCounts& counts) {
  const auto layer = std::ssize(density);
  const double n = static_cast<double>(length);
  const AttentionCost cost = CostOfAttention(model, layer, n, counts.Density());
  const AttentionConfig full;
  density.push_back(cost.density);
  empty_queries.push_back(model.attention[layer].HasTrees() ? counts.EmptyShare() : 0);
  operations.push_back(cost.Forward() / full.kind->cost(model, full, n, {}).Forward());
}

double Evaluation::Perplexity() const { return std::exp(loss.MeanLoss()); }

Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, ModelStage& model,
                    const datasets::EvaluationLoader& held_out) {
  const int64_t layers = model.config().layers;
  Evaluation evaluation;
  std::vector<PairCounts> counts(layers);
  const StepInfo info{.seed = 0, .step = 0, .training = false};
  int64_t length = 0;
  for (int64_t step = 0; step < held_out.steps(); ++step) {
    for (int micro = 0; micro < held_out.micro_batches(); ++micro) {
      const datasets::Batch batch = held_out.Get(step, micro);
      length = std::max(length, batch.length);
      model.Forward(ctx, batch, info);
      evaluation.loss += model.ReadSums(ctx);
      for (int64_t layer = 0; layer < layers; ++layer) {
        counts[layer] += model.ReadStatistics(ctx, layer).counts;
      }
    }
  }
  evaluation.loss = SumOverRanks(communicator, evaluation.loss);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const PairCounts all = SumOverRanks(communicator, counts[layer]);
    evaluation.trees.Add(model.config(), length, all);
  }
  return evaluation;
}

}  // namespace treeformer
