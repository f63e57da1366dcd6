#pragma once

// Softmax cross-entropy over a vocabulary of V classes, with its gradient in place.
//
//   loss_m = log sum_c exp(z_mc) - z_m,target         z_mc <- softmax(z_m)_c - [c = target]
//
//   logits  [M, ld >= V]  read; with `gradient`, overwritten by the gradient of sum_m loss_m; what
//                   lies behind the V classes of a row is neither read nor written
//   target  [M]     class, or negative: the row is unused, loss 0 and gradient 0
//   loss    [M]     nats
//                   On a GPU float32, of bfloat16 logits; NaN for a class that does not exist
//   correct [M]     1 where the target is the arg max (the lowest index wins a tie), else 0

#include "kernels/embedding.h"

namespace treeformer {

void SoftmaxCrossEntropy(Context& ctx, Out loss, View<int32_t> correct, Out logits, int64_t V,
                         Indices target, bool gradient);
DECLARE_BACK_ENDS(SoftmaxCrossEntropy)

// sums [2] float64, on the device: += {sum_m loss_m, sum_m correct_m}, in a fixed order.
void AddLossSums(Context& ctx, View<double> sums, In loss, Indices correct);
DECLARE_BACK_ENDS(AddLossSums)

}  // namespace treeformer
