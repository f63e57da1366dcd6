#pragma once

// The dense gradient of a binary tree (Dense Gradient Trees, Karthikeyan et al. 2021): every leaf's
// effect on the loss reaches every decision of the row through a softmax over leaf scores.
//
//   a_t = sign of decision t (+1 right, -1 left), s = mean |f| of the row's path, a constant
//   u_leaf = s (h - 2 disagreements of the row with the leaf's path)     pi = softmax(u)
//   relaxed objective  sum_leaf pi_leaf effect_leaf
//   with c = sigmoid(2 s):  pi_root = 1, pi_child = pi_t (c if t's decision chooses it, else 1 - c)
//   bottom-up  G_leaf = pi_leaf effect_leaf,  G_t = G_left + G_right,  gbar = G_root
//   dL/da_t = s ((G_right - G_left) - gbar (pi_right - pi_left))
//   straight-through sign: da_t/df_t = 2 where |f_t| <= 1, else 0
//   dweight += df x,  dbias += df,  dx += df weight.  Sums in a fixed order.
//
//   effect   [B, H, n, L], or [B, H, 1, L]: the same for all rows
//   strength [B, H, n] and leaf [B, H, n] as Route wrote them
// On the row's path the decisions are those that led to `leaf`, elsewhere f > 0 goes right.
// Leaf -1 (padding) and a strength that is not finite (NaN scores): the row passes no gradient.

#include "kernels/tree/route/route.h"

namespace treeformer {

constexpr int kSoftTreeMaxGpuHeight = 12;  // a block's rows fill 128 KiB of shared memory

void SoftTreeBackward(Context& ctx, const RouterGradients& gradients, In effect,
                      const RouterOperands& router, In strength, Ids leaf);
DECLARE_BACK_ENDS(SoftTreeBackward)

// The leaf effects of the balance term  weight * L * sum_leaf f_leaf pbar_leaf, f_leaf the share of
// the rows of one (b, h) in the leaf (constant) and pbar_leaf their mean soft probability:
//   effect [B, H, 1, L] = weight L f_leaf / rows
void BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight);
DECLARE_BACK_ENDS(BalanceEffect)

}  // namespace treeformer
