#include "launcher/bench/timing/tree_parts.h"

#include "kernels/tree/buckets/buckets.h"

namespace treeformer::bench {

TreeParts::TreeParts(AttentionModule& module)
    : module_(module),
      ctx_(module.context()),
      tree_(*module.trees().at(0)),
      queries_(MakeSide()),
      keys_(MakeSide()) {}

View<int32_t> TreeParts::MakeInts(const Shape& shape) {
  buffers_.emplace_back(ctx_.device(), DType::kInt32, shape);
  return buffers_.back();
}

Out TreeParts::MakeFloats(const Shape& shape) {
  buffers_.emplace_back(ctx_.device(), DType::kFloat32, shape);
  return buffers_.back();
}

TreeParts::Side TreeParts::MakeSide() {
  const int64_t B = module_.document().shape()[0], n = module_.document().shape()[1];
  const Shape rows{B, tree_.heads(), n};
  Side side;
  side.leaf = MakeInts(rows);
  side.order = MakeInts(rows);
  side.range = MakeInts({B, tree_.heads(), n, 2});
  side.routing = {side.leaf, MakeFloats(rows), {}, {}, {}, {}};
  if (module_.config().attention.at(0).tree.gradient == TreeGradient::kFlip) {
    side.routing.alternative = MakeInts(rows);
    side.routing.own_plane = MakeInts(rows);
    side.routing.other_plane = MakeInts(rows);
    side.routing.margin = MakeFloats(rows);
  }
  return side;
}

void TreeParts::Route() {
  const auto route = [&](const Side& side, In x) {
    treeformer::Route(ctx_, side.routing, tree_.Router(x), module_.document(), /*rule=*/{});
  };
  route(queries_, module_.queries());
  route(keys_, module_.keys());
}

void TreeParts::Sort() {
  const int64_t leaves = tree_.shape().leaves();
  const auto sort = [&](const Side& side) {
    SortByLeaf(ctx_, side.order, side.leaf, module_.document(), leaves);
  };
  const auto match = [&](const Side& side, const Side& other) {
    const Ids document = module_.document();
    MatchRanges(ctx_, side.range, {side.order, side.leaf, document},
                {other.order, other.leaf, document});
  };
  sort(queries_);
  sort(keys_);
  match(queries_, keys_);
  match(keys_, queries_);
}

std::vector<int32_t> TreeParts::ReadLeafCounts(Ids leaf) {
  const Shape shape{leaf.shape()[0], leaf.shape()[1], tree_.shape().leaves()};
  const Buffer count(ctx_.device(), DType::kInt32, shape);
  CountLeaves(ctx_, count, leaf);
  std::vector<int32_t> host(shape.count());
  Copy(ctx_, View<int32_t>(host.data(), shape), count);
  ctx_.Synchronize();
  return host;
}

TilePairs TreeParts::CountPairs() {
  const std::vector<int32_t> queries = ReadLeafCounts(queries_.leaf);
  const std::vector<int32_t> keys = ReadLeafCounts(keys_.leaf);
  const int64_t leaves = tree_.shape().leaves(), count = static_cast<int64_t>(queries.size());
  TilePairs pairs;
  for (int64_t first = 0; first < count; first += leaves) {
    pairs += CountTilePairs({queries.begin() + first, queries.begin() + first + leaves},
                            {keys.begin() + first, keys.begin() + first + leaves});
  }
  return pairs;
}

}  // namespace treeformer::bench
