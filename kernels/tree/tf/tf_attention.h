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
//   q, k, v, o and their gradients [B, n, H, e];  lse, delta, key_effect [B, H, n] by position
//   dropout index of (b, h, i, j): ((b H + h) n + i) n + j
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

void TfForward(Context& ctx, Out o, Out lse, In q, In k, In v, const Buckets& buckets,
               const AttentionOptions& options);

//   D_i   = <dO_i, O_i>                      dP_ij = <dO_i, v_j> (0 where dropped, else scaled)
//   dS_ij = p_ij (dP_ij - D_i)
//   dq_i  = sum_j dS_ij k_j / sqrt(e)        dk_j = sum_i dS_ij q_i / sqrt(e)
//   dv_j  = sum_i dropout(p_ij) dO_i
// delta = D.  key_effect_j = sum_i dS_ij, the key's own first-order effect; may be null.
void TfBackward(Context& ctx, Out dq, Out dk, Out dv, Out delta, Out key_effect, In d_o, In q, In k,
                In v, In o, In lse, const Buckets& buckets, const AttentionOptions& options);

// FLIP's probes (core/attention/README.md, 3.1): the first-order change of the loss if a row moved
// to its alternative leaf a'.  Dropout is left out: its expectation is taken.
//   query i:  gain = sum_{j in K(a')} p'_ij dP_ij - D_i,   p' = softmax of S_i over K(a')
//   key j:    gain = sum_{i in Q(a')} p+_ij (dP_ij - D_i) - key_effect_j,
//             p+_ij = exp(S_ij) / (exp(lse_i) + exp(S_ij)) = sigmoid(S_ij - lse_i)
//   query_probe  query_order sorted by the ALTERNATIVE leaf, key_order by the own; key_range read
//   key_probe    key_order sorted by the ALTERNATIVE leaf, query_order by the own; query_range read
//   gains [B, H, n]; 0 for padding.  A sum over an empty leaf is 0, so moving a query to a leaf
//   without keys gains -D_i: its output would be zero.
void FlipGains(Context& ctx, Out query_gain, Out key_gain, In d_o, In q, In k, In v, In lse,
               In delta, In key_effect, const Buckets& query_probe, const Buckets& key_probe,
               bool causal);

namespace reference {

template <typename T>
void TfForward(View<T> o, View<T> lse, View<const T> q, View<const T> k, View<const T> v,
               const Buckets& buckets, const AttentionOptions& options);
template <typename T>
void TfBackward(View<T> dq, View<T> dk, View<T> dv, View<T> delta, View<T> key_effect,
                View<const T> d_o, View<const T> q, View<const T> k, View<const T> v,
                View<const T> o, View<const T> lse, const Buckets& buckets,
                const AttentionOptions& options);
template <typename T>
void FlipGains(View<T> query_gain, View<T> key_gain, View<const T> d_o, View<const T> q,
               View<const T> k, View<const T> v, View<const T> lse, View<const T> delta,
               View<const T> key_effect, const Buckets& query_probe, const Buckets& key_probe,
               bool causal);

}  // namespace reference

}  // namespace treeformer
