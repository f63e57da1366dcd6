#pragma once

// Attention: which values a query gathers.  All kinds (registry.h) behind one interface.
//
//   q, o [B, n, H, e]    k, v [B, m, H, e]    TC with fold_projections: q and k are [B, n, 1, d],
//                                             the layer's input itself
// Padding and queries without keys: o = 0.  Only keys of the query's document count.
//
// Queries and keys are two sides, which may be of different sequences with different lengths, as in
// cross-attention; self-attention gives the same tokens on both (SelfAttention).
//
// The gradient of the routing (core/attention/README.md, 3) adds to the tree's parameters and,
// through the rows that were routed, to dq and dk.

#include <vector>

#include "core/attention/tree.h"
#include "kernels/tree/statistics.h"

namespace treeformer {

struct AttentionInput {
  Side queries, keys;
  In values;  // of the keys
};
inline AttentionInput SelfAttention(In q, In k, In v, const MicroBatch& batch) {
  return {{q, batch.document}, {k, batch.document}, v};
}

class Attention {
 public:
  virtual ~Attention() = default;

  virtual void Bind(const LayerMemory& memory) = 0;
  // `batch`: where its sequences stand in the global batch, and the step.
  virtual void Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) = 0;
  // The gradient of the last Forward.  dq, dk, dv are overwritten; none of them may be another.
  virtual void Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x, In o,
                        const MicroBatch& batch) = 0;

  // Statistics of the last Forward, for which it waits.
  virtual TreeStatistics ReadStatistics(Context& ctx, const MicroBatch& batch) const = 0;
  virtual std::vector<Tree*> trees() { return {}; }
};

// Statistics of two sides' routings, fetched to the host.
TreeStatistics ReadTreeStatistics(Context& ctx, const TreeRouting& queries, const TreeRouting& keys,
                                  Ids document, int64_t leaves);

}  // namespace treeformer
