#include "launcher/evaluation.h"

#include <cmath>

LossSum SumOverRanks(dist::Communicator& communicator, const LossSum& loss) {
  return {communicator.Sum(loss.loss),
          static_cast<int64_t>(communicator.Sum(static_cast<double>(loss.correct))),
          static_cast<int64_t>(communicator.Sum(static_cast<double>(loss.targets)))};
}

PairCounts SumOverRanks(dist::Communicator& communicator, const PairCounts& counts) {
  return {communicator.Sum(counts.pairs), communicator.Sum(counts.all_pairs),
          communicator.Sum(counts.queries), communicator.Sum(counts.empty_queries)};
}

double DensityOf(const AttentionConfig& attention, const PairCounts& counts) {
  return attention.kind == AttentionKind::kTc ? std::nan("") : counts.Density();
}

BatchShape ShapeOf(const datasets::Batch& batch) {
  return {batch.sequences, batch.length, static_cast<int64_t>(batch.target_token.size())};
}

double Evaluation::Perplexity() const { return std::exp(loss.MeanLoss()); }

Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, MaskedLanguageModel& model,
                    datasets::Loader& loader, int64_t steps, int micro_batches) {
  const int64_t layers = model.config().layers;
  Evaluation evaluation;
  std::vector<PairCounts> counts(layers);
  loader.Restore({loader.state().seed, 0, 0, 0});
  const StepInfo info{.seed = 0, .step = 0, .training = false};
  for (int64_t step = 0; step < steps; ++step) {
    for (int micro = 0; micro < micro_batches; ++micro) {
      model.Forward(ctx, loader.Get(micro), info);
      evaluation.loss += model.ReadLoss(ctx);
      for (int64_t layer = 0; layer < layers; ++layer) {
        counts[layer] += model.ReadStatistics(ctx, layer).counts;
      }
    }
    loader.NextStep();
  }
  evaluation.loss = SumOverRanks(communicator, evaluation.loss);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const PairCounts all = SumOverRanks(communicator, counts[layer]);
    evaluation.density.push_back(DensityOf(model.config().attention[layer], all));
    evaluation.empty_queries.push_back(all.EmptyShare());
  }
  return evaluation;
}
