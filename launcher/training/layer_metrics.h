#pragma once

// What the trees of a model did in one step, and the gradient that reached them.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/model_stage.h"
#include "dist/communicator.h"
#include "launcher/training/evaluation.h"

namespace treeformer {

struct LayerMetrics {
  TreeShares trees;
  // The tree layers, by tag "layer_03" (from 1): density (TF), operations, leaf_entropy (nats),
  // empty_queries, mean_strength, tree_gradient_norm (of the mean gradient).
  nlohmann::ordered_json layers = nlohmann::ordered_json::object();
  // Mean number of keys a sequence, of all heads and leaves, [H L]: tag and values.
  std::vector<std::pair<std::string, std::vector<double>>> keys_per_leaf;
};

class LayerStatistics {
 public:
  // The model's last micro-batch; waits for it.
  void Add(Context& ctx, const ModelStage& model);
  // The metrics of the micro-batches added on all ranks; then there are none.  Collective.
  // `targets`: masked positions of the global batch, `length` of its sequences.
  LayerMetrics Take(Context& ctx, dist::Communicator& communicator, const ModelStage& model,
                    int64_t length, double targets);

 private:
  struct Sums {
    PairCounts counts;
    double leaf_entropy = 0, strength = 0;  // times the queries
    std::vector<double> keys_per_leaf;
  };
  std::vector<Sums> layers_;
  int64_t micro_batches_ = 0;
};

}  // namespace treeformer
