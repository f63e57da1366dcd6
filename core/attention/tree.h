#pragma once

// Tree: the parameters of one layer's H decision trees over rows of E numbers.
// TreeRouting: the way of one side's rows (queries or keys) through them in one forward pass, kept
// for the backward pass, and the gradients that reach the tree.     core/attention/README.md, 1, 3
//
//   name.weight [H, P, E], N(0, 1/E)     name.bias [H, P], 0     none when the height is 0
//   rows x [B, n, H, E], or [B, n, 1, E] shared by the heads
// All gradients add: to weight, bias and dx.  They are of the summed loss of the micro-batch.

#include <string>

#include "core/layer.h"

namespace treeformer {

class Tree {
 public:
  Tree(const LayerBuilder& builder, const std::string& name, const TreeShape& shape, int64_t width);

  In weight() const;
  In bias() const;
  Acc dweight() const { return parameters_->gradient(weight_); }
  Acc dbias() const { return parameters_->gradient(bias_); }
  // What the operations on rows x read of the tree, and the gradients that they add to.
  RouterOperands Router(In x) const { return {x, weight(), bias(), shape_}; }
  RouterGradients Gradients(Acc dx) const { return {dweight(), dbias(), dx}; }
  const TreeShape& shape() const { return shape_; }
  int64_t heads() const { return heads_; }

  // Balance::kBias, loss-free: rows per head and leaf since the last nudge, in host memory, [H, L]
  // float32 (exact below 2^24 rows).  With several ranks the caller sums them over the ranks first.
  // Waits for what the device has counted.
  Out ReadCounts(Context& ctx);
  // counts += rows per leaf; does not wait.
  void CountRows(Context& ctx, Ids leaf);
  // Moves each node's bias against its own imbalance of the counted rows, then forgets them:
  //   binary  b   -= step (right - left) / (right + left)
  //   k-ary   b_c -= step (share of child c - 1 / children)
  void NudgeBalance(Context& ctx, float step);
  void ForgetCounts(Context& ctx);

 private:
  Parameters* parameters_;
  const TreeShape shape_;
  const int64_t heads_, width_;
  Parameters::Id weight_ = -1, bias_ = -1;
  Buffer counts_;
  Buffer counted_;  // [B, H, L], on the device: not yet in counts_
};

// One side of attention.
struct Side {
  In rows;       // of the queries, or of the keys
  Ids document;  // [B, length]; negative: padding
};

class TreeRouting {
 public:
  // `flip_place` keys the random choice of the decision to flip (FlipChoice::kRandom).
  TreeRouting(Tree* tree, const TreeConfig& config, int64_t layer, RandomPlace flip_place);

  void Bind(const LayerMemory& memory, int64_t length);  // of its rows
  void Forward(Context& ctx, const Side& side, const MicroBatch& batch);
  void FlipBackward(Context& ctx, Acc dx, In x, In gain);     // gain [B, H, n]
  void DenseBackward(Context& ctx, Acc dx, In x, In effect);  // effect [B, H, n or 1, L]
  // Balance::kLoss: the micro-batch's summed loss has, for each head,
  //   sum_b targets_b balance_weight L sum_leaf f_leaf pbar_leaf,
  // so that its mean over targets has balance_weight times the mean balance term of the sequences,
  // for every cut into micro-batches.
  void BalanceBackward(Context& ctx, Acc dx, In x, const MicroBatch& batch);

  Ids leaf() const { return leaf_; }
  Ids alternative() const { return alternative_; }
  In strength() const { return strength_; }

 private:
  Tree* tree_;
  const TreeConfig config_;
  const int64_t layer_;
  const RandomPlace flip_place_;
  View<int32_t> leaf_;  // all [B, H, n]
  Out strength_;
  View<int32_t> alternative_, own_plane_, other_plane_;  // null unless FLIP
  Out margin_;
};

}  // namespace treeformer
