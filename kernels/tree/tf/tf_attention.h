#pragma once

// TF-Attention: exact softmax attention inside a leaf.               the paper, section 3.1, eq. 3
// With one leaf it is full attention.  No n x n matrix is ever held.
//
//   S_ij = <q_i, k_j> / sqrt(e)     p_ij = softmax_j of S_i over the keys of i's bucket
//   O_i  = sum_j dropout(p_ij) v_j                     lse_i = log sum_j exp(S_ij)
//   causal: only keys at positions j <= i
//   a query without keys: O_i = 0, lse_i = -infinity, no gradient; a key without queries:
//   dk = dv = 0.  Padding rows: the same.
//
//   q, o, dO, dq [B, n, H, e]    k, v, dk, dv [B, m, H, e]    queries and keys may be of different
//   sequences (cross-attention); on a GPU m = n
//   lse, delta [B, H, n] and key_effect [B, H, m] by position
//   dropout index of (b, h, i, j): ((b H + h) n + i) m + j
//
// On the CPU under MatmulPrecision::kBFloat16 the operands of all products of rows (q, k, v, dO,
// dropout(p), dS) are rounded; softmax, its sums, D = <dO, O> and all results stay float32.

#include "kernels/base/random.h"
#include "kernels/tree/buckets/buckets.h"

namespace treeformer {

struct AttentionOptions {
  bool causal = false;
  Dropout dropout;
};

// What both passes read.
struct TfOperands {
  In q, k, v;
  Buckets buckets;
  AttentionOptions options;
};

void TfForward(Context& ctx, Out o, Out lse, const TfOperands& operands);
DECLARE_BACK_ENDS(TfForward)

//   D_i   = <dO_i, O_i>                      dP_ij = <dO_i, v_j> (0 where dropped, else scaled)
//   dS_ij = p_ij (dP_ij - D_i)
//   dq_i  = sum_j dS_ij k_j / sqrt(e)        dk_j = sum_i dS_ij q_i / sqrt(e)
//   dv_j  = sum_i dropout(p_ij) dO_i
struct TfGradients {
  Out dq, dk, dv;
  Out delta;       // D
  Out key_effect;  // sum_i dS_ij, the key's own first-order effect; may be null
};

void TfBackward(Context& ctx, const TfGradients& gradients, In d_o, In o, In lse,
                const TfOperands& operands);
DECLARE_BACK_ENDS(TfBackward)

// FLIP's probes (core/attention/README.md, 3.1): the first-order change of the loss if a row moved
// to its alternative leaf a'.  Dropout is left out: its expectation is taken.
//   query i:  gain = sum_{j in K(a')} p'_ij dP_ij - D_i,   p' = softmax of S_i over K(a')
//   key j:    gain = sum_{i in Q(a')} p+_ij (dP_ij - D_i) - key_effect_j,
//             p+_ij = exp(S_ij) / (exp(lse_i) + exp(S_ij)) = sigmoid(S_ij - lse_i)
//   gains [B, H, n]; 0 for padding.  A sum over an empty leaf is 0, so moving a query to a leaf
//   without keys gains -D_i: its output would be zero.
struct FlipOperands {
  In d_o, q, k, v;
  In lse, delta, key_effect;
  Buckets query_probe;  // query_order by the ALTERNATIVE leaf, key_order by the own; key_range read
  Buckets key_probe;  // key_order by the ALTERNATIVE leaf, query_order by the own; query_range read
  bool causal = false;
};

void FlipGains(Context& ctx, Out query_gain, Out key_gain, const FlipOperands& operands);
DECLARE_BACK_ENDS(FlipGains)

}  // namespace treeformer
