#pragma once

// Route: which leaf each row goes to, and which single decision would be cheapest to flip.
//
//   B batch, H heads, n tokens, E width of a routed row, P planes (TreeShape)
//   weight and bias are float32 (float64 in the reference)
//   document  [B, n]        negative: padding, the row is in no leaf
//   all outputs [B, H, n]; a null view is not computed; padding rows get leaf -1, plane -1, and 0
//
// The ids of a forward pass are stored and reused by its backward pass, never recomputed.

#include "kernels/base/random.h"
#include "kernels/runtime/dispatch.h"
#include "kernels/tree/tree_shape.h"

namespace treeformer {

using Ids = View<const int32_t>;

// The trees of H heads, of one shape, and the rows that they route.
struct RouterOperands {
  In x;       // [B, n, H, E], or [B, n, 1, E]: every head reads the same row
  In weight;  // [H, P, E]
  In bias;    // [H, P]
  TreeShape shape;
};

// FLIP: for each row ONE decision of its path is picked (core/attention/README.md, 3.1).
// `alternative` is where the row would have gone with that decision flipped (k-ary: to the
// second-best child), following its own decisions below.
//   binary   own_plane = other_plane = the node's plane; margin f (its sign tells the side)
//   k-ary    own_plane: the chosen child's, other_plane: the second best's; margin = own score -
//            other score >= 0
// A tree of height 0, or a row whose margins (kRandom: whose picked margin) are NaN: nothing is
// flipped, alternative = leaf, planes -1, margin 0.
struct Routing {
  View<int32_t> leaf;
  Out strength;               // mean |margin| over the decisions of the path
  View<int32_t> alternative;  // all four below are given together or not at all
  View<int32_t> own_plane;
  View<int32_t> other_plane;
  Out margin;
};

enum class FlipChoice {
  kMinMargin,  // the smallest |margin|, the level nearest the root winning a tie
  kRandom,     // a uniform level: RandomBits(key, offset + (b H + h) n + i) % h
};

struct FlipRule {
  FlipChoice choice = FlipChoice::kMinMargin;
  RandomKey key;
  uint64_t offset = 0;
};

void Route(Context& ctx, const Routing& routing, const RouterOperands& router, Ids document,
           const FlipRule& rule);
DECLARE_BACK_ENDS(Route)

// Gradients of the weights and the rows of RouterOperands, in their shapes.
struct RouterGradients {
  Acc dweight, dbias, dx;
};

// FLIP's gradient of the routing, for the rows of one side (queries or keys).
//   gain [B, H, n]: first-order change of the loss if the row moved to its alternative leaf
//   u = sigmoid(2 f / tau),  u' = 2 / tau u (1 - u)
//   binary  df = u' (G(right) - G(left)) at own_plane
//   k-ary   f = own - other:  d own = -u' gain,  d other = +u' gain
//   dweight += df x,  dbias += df,  dx += df weight.  Sums in a fixed order.
struct FlipDecisions {  // as Route wrote them
  Ids own_plane;
  Ids other_plane;
  In margin;
};

void FlipBackward(Context& ctx, const RouterGradients& gradients, In gain,
                  const RouterOperands& router, const FlipDecisions& decisions, float tau);
DECLARE_BACK_ENDS(FlipBackward)

}  // namespace treeformer
