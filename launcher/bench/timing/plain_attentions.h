#pragma once

// The attentions without trees that the benchmarks time: one of each kind of the registry that has
// numbers for them.

#include <string>
#include <vector>

#include "core/model_config.h"

namespace treeformer::bench {

struct PlainAttention {
  std::string name;  // "full"; of others their numbers
  AttentionConfig attention;
};

std::vector<PlainAttention> PlainAttentions();

}  // namespace treeformer::bench
