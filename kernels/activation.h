#pragma once

// GELU with the error function, elementwise.                    Hendrycks, Gimpel 2016
//
//   y = x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2
//   dx = dy (Phi(x) + x phi(x)),  phi(x) = exp(-x^2 / 2) / sqrt(2 pi)

#include "kernels/runtime/dispatch.h"

namespace treeformer {

void GeluForward(Context& ctx, Out y, In x);
DECLARE_BACK_ENDS(GeluForward)
void GeluBackward(Context& ctx, Out dx, In dy, In x);  // dx may be dy
DECLARE_BACK_ENDS(GeluBackward)

}  // namespace treeformer
