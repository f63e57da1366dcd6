#pragma once

// What the trees of a model did in the last micro-batch, and the gradient that reached them.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model.h"
#include "dist/communicator.h"

struct LayerMetrics {
  std::vector<double> density, empty_queries;  // [layers], as Evaluation's
  // Of the tree layers, by tag "layer_03" (from 1): density (TF), leaf_entropy (nats),
  // empty_queries, mean_strength, tree_gradient_norm (of the mean gradient).
  nlohmann::ordered_json layers = nlohmann::ordered_json::object();
  // Keys per leaf of all heads, [H L] of this rank: tag and values.
  std::vector<std::pair<std::string, std::vector<double>>> keys_per_leaf;
};

// Over all ranks; collective.  `targets`: masked positions of the global batch.
LayerMetrics MeasureLayers(Context& ctx, dist::Communicator& communicator,
                           const MaskedLanguageModel& model, double targets);
