#pragma once

// The token table [V, d]: read by the embeddings and by the head that is tied to it.  On one rank it
// is one parameter, declared by whoever comes first; a stage of a pipeline that has only one of the
// two has a copy of its own (Parameter::tied), whose gradients are summed over the stages.

#include "core/layer.h"

namespace treeformer {

inline Parameters::Id DeclareTokenTable(const LayerBuilder& builder) {
  return builder.parameters.DeclareTied(
      "bert.embeddings.word_embeddings.weight", {builder.config.vocabulary, builder.config.width},
      Initializer::Normal(builder.config.initial_deviation), Role::kWeight);
}

}  // namespace treeformer
