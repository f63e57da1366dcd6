#pragma once

// Layer normalisation over the last axis.         Ba, Kiros, Hinton 2016, eq. 3-4
//
//   mean = 1/C sum_c x_c        rstd = (1/C sum_c (x_c - mean)^2 + eps)^(-1/2)
//   n    = (x - mean) rstd      y    = gamma n + beta
//
//   N rows, C channels
//   x, y, dx, dy         [N, C]
//   gamma, beta and d..  [C]
//   mean, rstd           [N]     written by Forward, read by Backward
//   On a GPU mean, rstd, dgamma and dbeta are float32, all else bfloat16.

#include "kernels/runtime/dispatch.h"

namespace treeformer {

void LayerNormForward(Context& ctx, Out y, Out mean, Out rstd, In x, In gamma, In beta, float eps);
DECLARE_BACK_ENDS(LayerNormForward)

//   dn = gamma dy
//   dx = rstd (dn - mean_c(dn) - n mean_c(dn n))     dx may be dy
//   dgamma += sum_n dy n        dbeta += sum_n dy
struct LayerNormGradients {
  Out dx;
  Acc dgamma, dbeta;
};

void LayerNormBackward(Context& ctx, const LayerNormGradients& gradients, In dy, In x, In gamma,
                       In mean, In rstd);
DECLARE_BACK_ENDS(LayerNormBackward)

}  // namespace treeformer
