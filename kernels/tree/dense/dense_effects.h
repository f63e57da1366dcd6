#pragma once

// DENSE: what every leaf would do to the loss, for every query and every key: O(n^2).
//   X_ij = w_ij (dP_ij - D_i), dP_ij = <dO_i, v_j>
//     kClamped   w = min(exp(S_ij - L_i), clamp)
//     kBounded   w = p_ij inside the leaf, exp(S) / (exp(L_i) + exp(S)) outside
//     kInLeaf    w = p_ij inside the leaf, 0 outside      (for comparison: known to be useless)
//   S_ij = <q_i, k_j> / sqrt(e), L_i = lse of i's own leaf, of all keys it sees when that is empty
//   query_effect_i[leaf] = sum of X_ij over the leaf's keys, key_effect_j[leaf] = sum of X_ij over
//   the leaf's queries; only pairs of one document, causal: j <= i
//   query_effect, key_effect [B, H, n, L]
// The tokens of a document are contiguous (datasets/batch.h).  Rows of padding: 0.  Costs O(n^2 e)
// but holds no n x n matrix.  Sums in a fixed order.

#include "kernels/tree/route/route.h"

namespace treeformer {

enum class DenseTerms { kClamped, kBounded, kInLeaf };
struct DenseOptions {
  DenseTerms terms = DenseTerms::kClamped;
  float clamp = 50;
  bool causal = false;
};

struct DenseOperands {
  In d_o, q, k, v;           // [B, n, H, e]
  In lse, delta;             // [B, H, n], of TfForward and TfBackward
  Ids query_leaf, key_leaf;  // [B, H, n]
  Ids document;              // [B, n]
  DenseOptions options;
};

void DenseLeafEffects(Context& ctx, Out query_effect, Out key_effect,
                      const DenseOperands& operands);
DECLARE_BACK_ENDS(DenseLeafEffects)

}  // namespace treeformer
