#pragma once

// Attention: which values a query gathers.  All kinds (registry.h) behind one interface.
//
//   q, k [B, n, H, e]      TC with fold_projections: [B, n, 1, d], the layer's input itself
//   v, o [B, n, H, e]
// Padding and queries without keys: o = 0.  Only keys of the query's document count.
//
// The gradient of the routing (core/attention/README.md, 3) adds to the tree's parameters and,
// through the rows that were routed, to dq and dk.

#include <vector>

#include "core/attention/tree.h"
#include "kernels/tree/statistics.h"

namespace treeformer {

class Attention {
 public:
  virtual ~Attention() = default;

  virtual void Bind(const LayerMemory& memory) = 0;
  virtual void Forward(Context& ctx, Out o, In q, In k, In v, const MicroBatch& batch) = 0;
  // Of the last Forward.  dq, dk, dv are overwritten; none of them may be another.
  virtual void Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, In q, In k, In v, In o,
                        const MicroBatch& batch) = 0;

  // Of the last Forward, which waits for it.
  virtual TreeStatistics ReadStatistics(Context& ctx, const MicroBatch& batch) const = 0;
  virtual std::vector<Tree*> trees() { return {}; }
};

// Statistics of two sides' routings, fetched to the host.
TreeStatistics ReadTreeStatistics(Context& ctx, const TreeRouting& queries, const TreeRouting& keys,
                                  Ids document, int64_t leaves);

}  // namespace treeformer
