#pragma once

// Dropout and the residual connection.  x, y and branch have the same shape.

#include "kernels/base/random.h"
#include "kernels/runtime/context.h"

namespace treeformer {

// y = dropout(x).  Linear, so its own backward: dx = dropout(dy).  y may be x.
void ApplyDropout(Context& ctx, Out y, In x, const Dropout& dropout);

// y = x + dropout(branch).  y may be x.  Backward: dx = dy, dbranch = dropout(dy).
void AddResidual(Context& ctx, Out y, In x, In branch, const Dropout& dropout);

namespace reference {

template <typename T>
void ApplyDropout(View<T> y, View<const T> x, const Dropout& dropout);
template <typename T>
void AddResidual(View<T> y, View<const T> x, View<const T> branch, const Dropout& dropout);

}  // namespace reference

}  // namespace treeformer
