#pragma once

// The layers of a model, in the order of the forward pass:
//
//   0            embeddings
//   1 .. L       encoder layers 0 .. L - 1; the last one makes the target rows alone
//   L + 1        the final norm, pre-norm only
//   the last     the head of the objective
// A stage of a pipeline has a range of them.

#include <memory>
#include <vector>

#include "core/layers/encoder_layer.h"
#include "core/layers/head.h"

namespace treeformer {

struct LayerRange {  // layers [begin, end)
  int64_t begin = 0, end = 0;
};

int64_t CountLayers(const ModelConfig& config);

struct LayerList {
  struct Entry {
    std::unique_ptr<WeightGradients> weights;
    std::unique_ptr<Layer> layer;
    Range parameters;  // declared by this layer
  };
  std::vector<Entry> entries;
  std::vector<EncoderLayer*> encoder;  // [L]; null outside of the range
  Head* head = nullptr;                // null where the range ends before it
};

LayerList MakeLayers(const ModelConfig& config, const Objective& objective, LayerRange range,
                     bool defer_weight_gradients, Parameters& parameters);

}  // namespace treeformer
