#pragma once

// TC-Attention: per-node means instead of pairs, O(n e + L e) a head.   the paper, 3.2, equation 4
//
//   nu_{l,j} = mean of v over the keys whose path crosses node (l, j); 0 where there is none
//   O_i = sum_{l=0..h} alpha_l nu_{l, node of i at level l}
//   only keys of i's document count; padding queries: O_i = 0
//   the tokens of a document are contiguous (datasets/batch.h)
// Forward sums v per leaf, adds up the tree, divides, folds table[leaf] = sum_l alpha_l nu_{l,anc}:
// each query is one look-up.
//
//   v, o [B, n, H, e]   alpha [H, h + 1]   query_leaf, key_leaf [B, H, n]   document [B, n]

#include "kernels/tree/buckets/buckets.h"

namespace treeformer {

// What both passes read.
struct TcOperands {
  In v, alpha;
  Ids query_leaf, key_leaf, document;
  TreeShape shape;
};

void TcForward(Context& ctx, Out o, const TcOperands& operands);
DECLARE_BACK_ENDS(TcForward)

//   dalpha_l += sum_nodes <sum dO, nu>
//   dnu_{l,m} = alpha_l sum_{i in m} dO_i
//   dv_j      = sum_l dnu_{l,node(j)} / count_{l,node(j)}
// The routing's leaf effects (null: not computed), each the sum along the leaf's path of
//   query i:  <dO_i, alpha_l nu_{l,m}>
//   key j:    <v_j - nu_{l,m}, dnu_{l,m}> / max(count, 1);  count + 1 for a node that j is not in
struct TcGradients {
  Out dv;
  Acc dalpha;
  Out query_effect, key_effect;  // [B, H, n, L], may be null
};

void TcBackward(Context& ctx, const TcGradients& gradients, In d_o, const TcOperands& operands);
DECLARE_BACK_ENDS(TcBackward)

// gain [B, H, n] = effect[alternative] - effect[leaf]: FLIP's gain from leaf effects [B, H, n, L];
// 0 for padding.
void GainFromEffects(Context& ctx, Out gain, In effect, Ids leaf, Ids alternative);
DECLARE_BACK_ENDS(GainFromEffects)

}  // namespace treeformer
