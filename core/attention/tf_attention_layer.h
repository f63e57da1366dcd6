#pragma once

// TF-Attention with learned trees: softmax attention among the rows of one leaf.  Queries and keys
// walk the same tree.  FULL is the tree with one leaf.  Memory: O(n) a head; DENSE: O(n L) in
// backward, and O(n^2) time.

#include "core/attention/attention.h"
#include "kernels/tree/tf/tf_attention.h"

namespace treeformer {

extern const AttentionKind kTfAttention;

class TfAttention : public Attention {
 public:
  TfAttention(const LayerBuilder& builder, int64_t layer, const std::string& name);

  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) override;
  void Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x, In o,
                const MicroBatch& batch) override;
  TreeStatistics ReadStatistics(Context& ctx, const MicroBatch& batch) const override;
  std::vector<Tree*> trees() override;

 private:
  TfOperands Operands(const AttentionInput& x, const MicroBatch& batch) const;
  Buckets buckets() const { return {query_order_, key_order_, key_range_, query_range_}; }
  void FlipTree(Context& ctx, Acc dq, Acc dk, In d_o, const AttentionInput& x, In delta,
                In key_effect);
  void DenseTree(Context& ctx, Acc dq, Acc dk, In d_o, const AttentionInput& x, In delta);

  const AttentionConfig config_;
  const int64_t layer_;
  const float dropout_;
  Tree tree_;
  TreeRouting queries_, keys_;
  View<int32_t> query_order_, key_order_;  // [B, H, n], [B, H, m]
  View<int32_t> key_range_, query_range_;  // [B, H, n, 2], [B, H, m, 2]
  Out lse_;                                // [B, H, n]
};

}  // namespace treeformer
