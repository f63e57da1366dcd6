#pragma once

// Carrying a model into the next stage of the plan (TREE_ATTENTION section 4).
//
// Parameters with the same name and shape keep their bits, and so do their moments.  A tree that
// grows keeps its old planes bit for bit (they are the first of the longer list), the new level
// keeps its random initial value and zero moments.  TC's alpha keeps its entries, the new one is 0.
// A layer that turns from full to tree keeps W^Q, W^K, W^V, W^O; its tree is random, its alpha
// 1 / (h + 1).  Whatever does not fit by these rules is fatal.

#include "core/parameters.h"

// `to` is allocated and initialised.
void CarryParameters(Context& ctx, Parameters& to, const Parameters& from);
