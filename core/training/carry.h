#pragma once

// Carrying a model into the next stage of the plan (core/attention/README.md, 6).
//
// Parameters with the same name keep their bits, and so do their moments.  Trees are carried level
// by level: one that grows keeps its old planes (they are the first of the longer list), and the
// new level keeps its random initial value, zero moments, and counts its updates from now on.  TC's
// alpha keeps its entries, the new one is 0.  A layer that turns from full to tree keeps W^Q, W^K,
// W^V, W^O; its tree is random, its alpha 1 / (h + 1).  Whatever does not fit by these rules is
// fatal.

#include "core/training/optimizer_state.h"

namespace treeformer {

struct CarryRules {
  int64_t updates = 0;  // done so far: when what is new was born
  // Trees begin to grow anew (Algorithm 1 with `regrow`): also the deepest level of `to` is new,
  // where the tree of `from` was at least as high.
  bool regrow = false;
};

// Parameters with the state of their optimiser, which is of all of them.
//
// `to` has memory, and its values are initialised.
void CarryParameters(Context& ctx, Parameters& to, OptimizerState& to_state, const Parameters& from,
                     const OptimizerState& from_state, const CarryRules& rules);

// The same for `to` without memory, which gets it and is initialised by (seed, draw); returns its
// state.  A buffer of `from` is freed before the next one of `to` is made, so that both together
// never hold more than one of them does in training, but for a tree that is new.
OptimizerState CarryParameters(Context& ctx, Parameters& to, Parameters&& from,
                               OptimizerState&& from_state, const CarryRules& rules, uint64_t seed,
                               int draw);

}  // namespace treeformer
