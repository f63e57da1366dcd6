#pragma once

// The deepest tree-attention layer that a run has trained, and the rows that reach it from the
// run's held-out text: what `bench --suite=attention --run_dir=RUN` times, at the skew of leaves
// that training gave it.

#include <map>
#include <string>
#include <vector>

#include "core/model_config.h"

namespace treeformer::bench {

struct TrainedAttention {
  int64_t layer = 0;
  AttentionConfig attention;
  std::map<std::string, std::vector<float>> weights;  // of the layer, by name
  std::vector<float> rows;                            // [n, width], sequence after sequence
};

// From the flags --run_dir or --checkpoint.  UserError when the model's width or heads are others,
// when it is pre-norm, has no tree layer with projections, or its text has fewer than `length`
// tokens.
TrainedAttention ReadTrainedAttention(int64_t width, int64_t heads, int64_t length);

}  // namespace treeformer::bench
