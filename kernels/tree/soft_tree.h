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
//   x        [B, n, H, E] or [B, n, 1, E]     weight [H, P, E]     bias [H, P]
//   strength [B, H, n] as Route wrote it;  leaf [B, H, n], -1: padding, no gradient

#include "kernels/tree/buckets.h"

void SoftTreeBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In effect, In x, In weight,
                      In bias, In strength, Ids leaf, const TreeShape& shape);

// The leaf effects of the balance term  weight * L * sum_leaf f_leaf pbar_leaf, f_leaf the share of
// the rows of one (b, h) in the leaf (constant) and pbar_leaf their mean soft probability:
//   effect [B, H, 1, L] = weight L f_leaf / rows
void BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight);

// DENSE: what every leaf would do to the loss, for every query and every key: O(n^2).
//   X_ij = w_ij (dP_ij - D_i), dP_ij = <dO_i, v_j>
//     kClamped   w = min(exp(S_ij - L_i), clamp)          L_i: lse of i's own leaf, of all keys when
//     kBounded   w = p_ij inside the leaf, exp(S) / (exp(L_i) + exp(S)) outside       that is empty
//     kInLeaf    w = p_ij inside the leaf, 0 outside      (for comparison: known to be useless)
//   query_effect_i[leaf] = sum of X_ij over the leaf's keys, key_effect_j[leaf] = sum of X_ij over
//   the leaf's queries; only pairs of one document, causal: j <= i
//   query_effect, key_effect [B, H, n, L]; lse, delta [B, H, n]
enum class DenseTerms { kClamped, kBounded, kInLeaf };
struct DenseOptions {
  DenseTerms terms = DenseTerms::kClamped;
  float clamp = 50;
  bool causal = false;
};
void DenseLeafEffects(Context& ctx, Out query_effect, Out key_effect, In d_o, In q, In k, In v,
                      In lse, In delta, Ids query_leaf, Ids key_leaf, Ids document,
                      const DenseOptions& options);

namespace reference {

template <typename T>
void SoftTreeBackward(View<T> dweight, View<T> dbias, View<T> dx, View<const T> effect,
                      View<const T> x, View<const T> weight, View<const T> bias,
                      View<const T> strength, Ids leaf, const TreeShape& shape);
template <typename T>
void BalanceEffect(View<T> effect, Ids leaf, float weight);
template <typename T>
void DenseLeafEffects(View<T> query_effect, View<T> key_effect, View<const T> d_o,
                      View<const T> q, View<const T> k, View<const T> v, View<const T> lse,
                      View<const T> delta, Ids query_leaf, Ids key_leaf, Ids document,
                      const DenseOptions& options);

}  // namespace reference
