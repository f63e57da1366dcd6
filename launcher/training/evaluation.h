#pragma once

// Held-out evaluation: the masked-LM loss of a model on text it was not trained on.

#include <vector>

#include "core/model/model_stage.h"
#include "datasets/evaluation_loader.h"
#include "dist/communicator.h"

namespace treeformer {

// What the attention of each layer computes, [layers]; NaN where it saw nothing.
struct TreeShares {
  std::vector<double> density;        // of all pairs; 1 for FULL, NaN for TC, which has no pairs
  std::vector<double> empty_queries;  // of queries, those in leaves without keys; 0 without trees
  std::vector<double> operations;     // of the forward pass, beside those of full attention

  // Adds the next layer; `counts` are of all its batches, ranks together.
  void Add(const ModelConfig& model, int64_t length, const PairCounts& counts);
};

struct Evaluation {
  MetricSums loss;  // over all ranks
  TreeShares trees;
  double Perplexity() const;  // exp of the mean loss
};

// Over the samples of `held_out`; no dropout.  Pure: the same numbers whenever it is called.
// Collective.
Evaluation Evaluate(Context& ctx, dist::Communicator& communicator, ModelStage& model,
                    const datasets::EvaluationLoader& held_out);

// Sums the parts of all ranks.  Collective.
MetricSums SumOverRanks(dist::Communicator& communicator, MetricSums metrics);
PairCounts SumOverRanks(dist::Communicator& communicator, const PairCounts& counts);

}  // namespace treeformer
