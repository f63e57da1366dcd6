#pragma once

// Dropout and the residual connection.  x, y and branch have the same shape.

#include "kernels/base/random.h"
#include "kernels/runtime/dispatch.h"

namespace treeformer {

// y = dropout(x).  Linear, so its own backward: dx = dropout(dy).  y may be x.
void ApplyDropout(Context& ctx, Out y, In x, const Dropout& dropout);
DECLARE_BACK_ENDS(ApplyDropout)

// y = x + dropout(branch).  y may be x.  Backward: dx = dy, dbranch = dropout(dy).
void AddResidual(Context& ctx, Out y, In x, In branch, const Dropout& dropout);
DECLARE_BACK_ENDS(AddResidual)

}  // namespace treeformer
