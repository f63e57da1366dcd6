#pragma once

// The token table [V, d]: the embeddings read it, and the head that is tied to it.  On one rank it
// is one parameter, which the first of the two declares.  A stage of a pipeline that has only one
// of the two has a copy of its own (Parameter::tied); gradients of copies are summed over stages.

#include "core/layer.h"

namespace treeformer {

inline Parameters::Id DeclareTokenTable(const LayerBuilder& builder) {
  return builder.parameters.DeclareTied(
      "bert.embeddings.word_embeddings.weight", {builder.config.vocabulary, builder.config.width},
      Initializer::Normal(builder.config.initial_deviation), Role::kWeight);
}

}  // namespace treeformer
