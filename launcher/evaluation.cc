#include "launcher/evaluation.h"

#include <cmath>

LossSum SumOverRanks(dist::Communicator& communicator, const LossSum& loss) {
  return {communicator.Sum(loss.loss),
          static_cast<int64_t>(communicator.Sum(static_cast<double>(loss.correct))),
          static_cast<int64_t>(communicator.Sum(static_cast<double>(loss.targets)))};
}

BatchShape ShapeOf(const datasets::Batch& batch) {
  return {batch.sequences, batch.length, static_cast<int64_t>(batch.target_token.size())};
}

double Evaluation::Perplexity() const { return std::exp(loss.MeanLoss()); }

Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, MaskedLanguageModel& model,
                    datasets::Loader& loader, int64_t steps, int micro_batches) {
  const int64_t layers = model.config().layers;
  Evaluation evaluation;
  evaluation.density.resize(layers);
  loader.Restore({loader.state().seed, 0, 0, 0});
  const StepInfo info{.seed = 0, .step = 0, .training = false};
  for (int64_t step = 0; step < steps; ++step) {
    for (int micro = 0; micro < micro_batches; ++micro) {
      model.Forward(ctx, loader.Get(micro), info);
      evaluation.loss += model.ReadLoss(ctx);
      for (int64_t layer = 0; layer < layers; ++layer) {
        evaluation.density[layer] += model.ReadStatistics(ctx, layer).density;
      }
    }
    loader.NextStep();
  }
  evaluation.loss = SumOverRanks(communicator, evaluation.loss);
  for (double& density : evaluation.density) {
    density = communicator.Sum(density) / static_cast<double>(steps * micro_batches) /
              communicator.size();
  }
  return evaluation;
}
