#pragma once

// Held-out evaluation: the masked-LM loss of a model on text it was not trained on.

#include <vector>

#include "core/model.h"
#include "datasets/loader.h"
#include "dist/communicator.h"

struct Evaluation {
  LossSum loss;                 // over all ranks
  std::vector<double> density;  // [layers], mean over batches and ranks
  double Perplexity() const;    // exp of the mean loss
};

// The first `steps` global batches of `loader`, each of ranks x micro_batches parts; no dropout.
// Pure: the same numbers whenever it is called.  Collective.
Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, MaskedLanguageModel& model,
                    datasets::Loader& loader, int64_t steps, int micro_batches);

BatchShape ShapeOf(const datasets::Batch& batch);

// Sums the parts of all ranks.  Collective.
LossSum SumOverRanks(dist::Communicator& communicator, const LossSum& loss);
