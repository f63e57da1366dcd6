#pragma once

// Held-out evaluation: the masked-LM loss of a model on text it was not trained on.

#include <vector>

#include "core/model.h"
#include "datasets/loader.h"
#include "dist/communicator.h"

struct Evaluation {
  LossSum loss;  // over all ranks
  // [layers], of all pairs and queries of all batches and ranks together.
  std::vector<double> density;        // 1 for FULL; NaN for TC, whose cost does not depend on it
  std::vector<double> empty_queries;  // share of queries in leaves without keys; 0 for FULL
  double Perplexity() const;          // exp of the mean loss
};

// The first `steps` global batches of `loader`, each of ranks x micro_batches parts; no dropout.
// Pure: the same numbers whenever it is called.  Collective.
Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, MaskedLanguageModel& model,
                    datasets::Loader& loader, int64_t steps, int micro_batches);

BatchShape ShapeOf(const datasets::Batch& batch);

// Sums the parts of all ranks.  Collective.
LossSum SumOverRanks(dist::Communicator& communicator, const LossSum& loss);
PairCounts SumOverRanks(dist::Communicator& communicator, const PairCounts& counts);

// Evaluation::density of a layer.
double DensityOf(const AttentionConfig& attention, const PairCounts& counts);
