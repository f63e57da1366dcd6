#pragma once

// Folding W^Q and W^K of TC layers into the hyperplanes (the paper, section 3.2), exactly:
//
//   f = <w, W_h x + c_h> + b = <W_h^T w, x> + (b + <w, c_h>)
//   W_h [e, d] and c_h [e]: head h's rows of the query (key) projection     w [e], b: one plane

#include "core/parameters.h"

namespace treeformer {

// `from`: a model with unfolded TC layers.  `to`: allocated, of the same model with
// fold_projections.  Every value of `to` is set; values only, no moments (an export).
void FoldProjections(Context& ctx, Parameters& to, const Parameters& from);

}  // namespace treeformer
