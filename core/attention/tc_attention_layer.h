#pragma once

// TC-Attention with learned trees: every query gathers the mean values of the nodes on its path.
// O(n e + L e) a head; the routing's gradient O(n e L).            core/attention/README.md, 5
//
//   name.tree, or with fold_projections name.query_tree and name.key_tree over the layer's input
//   name.tree.alpha [H, h + 1], initially 1 / (h + 1)

#include <optional>

#include "core/attention/attention.h"
#include "kernels/tree/tc/tc_attention.h"

namespace treeformer {

extern const AttentionKind kTcAttention;

class TcAttention : public Attention {
 public:
  TcAttention(const LayerBuilder& builder, int64_t layer, const std::string& name);

  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) override;
  void Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x, In o,
                const MicroBatch& batch) override;
  TreeStatistics ReadStatistics(Context& ctx, const MicroBatch& batch) const override;
  std::vector<Tree*> trees() override;

 private:
  TcOperands Operands(const AttentionInput& x) const;
  void RouteBackward(Context& ctx, TreeRouting& side, Acc dx, In x, In effect,
                     const MicroBatch& batch);

  const AttentionConfig config_;
  Parameters* parameters_;
  Tree query_tree_;
  std::optional<Tree> key_tree_;  // folded only
  Parameters::Id alpha_;
  TreeRouting queries_, keys_;
};

}  // namespace treeformer
