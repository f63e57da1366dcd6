#pragma once

// What the attentions with trees, TF and TC, share: the numbers of their trees in the
// configuration, and what the trees cost.

#include "core/attention/registry.h"

namespace treeformer {

// Shape and tree of the plain form; `gradient` where the user gave none.  Throws UserError.
AttentionConfig ReadTrees(const config::Attention& attention, const AttentionField& field,
                          TreeGradient gradient);

// W and b of the hyperplanes of all heads; folded: of queries and keys, over the layer's input.
int64_t CountTreeParameters(const ModelConfig& model, const AttentionConfig& attention);
// Scores of the planes on the ways of n queries and n keys.
double RoutingFlops(const ModelConfig& model, const AttentionConfig& attention, double n);

}  // namespace treeformer
