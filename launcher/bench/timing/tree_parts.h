#pragma once

// The parts of tree attention in front of attention itself, alone: routing and sort of the queries
// and keys of one module, as training does them.

#include <cstdint>

#include "launcher/bench/timing/attention_module.h"
#include "launcher/bench/timing/tile_pairs.h"

namespace treeformer::bench {

class TreeParts {
 public:
  // The module's queries and keys have been made; it has one tree, and outlives this.
  explicit TreeParts(AttentionModule& module);

  void Route();  // queries and keys; for FLIP the alternatives too
  void Sort();   // both, and both ranges; after Route
  // Over all sequences and heads; after Route.
  TilePairs CountPairs();

 private:
  struct Side {
    View<int32_t> leaf, order, range;  // [B, H, n], range [B, H, n, 2]
    Routing routing;
  };
  Side MakeSide();
  std::vector<int32_t> ReadLeafCounts(Ids leaf);  // [B H L]
  View<int32_t> MakeInts(const Shape& shape);
  Out MakeFloats(const Shape& shape);

  AttentionModule& module_;
  Context& ctx_;
  const Tree& tree_;
  std::vector<Buffer> buffers_;
  Side queries_, keys_;
};

}  // namespace treeformer::bench
