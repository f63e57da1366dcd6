#include "launcher/bench/timing/tile_pairs.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>

namespace treeformer::bench {
namespace {

constexpr int64_t kBlockRows = 64, kWarpRows = 16, kSlice = 16;

struct Slots {  // [begin, end); of none begin is huge and end 0
  int64_t begin = std::numeric_limits<int64_t>::max(), end = 0;
};

// For every query in the order of the leaves, the keys of its leaf.
std::vector<Slots> RangesOf(const std::vector<int32_t>& queries, const std::vector<int32_t>& keys) {
  std::vector<Slots> ranges;
  int64_t begin = 0;
  for (size_t leaf = 0; leaf < queries.size(); ++leaf) {
    const Slots range = keys[leaf] > 0 ? Slots{begin, begin + keys[leaf]} : Slots();
    ranges.insert(ranges.end(), queries[leaf], range);
    begin += keys[leaf];
  }
  return ranges;
}

Slots Hull(const std::vector<Slots>& ranges, int64_t first, int64_t count) {
  const int64_t last = std::min(first + count, static_cast<int64_t>(ranges.size()));
  Slots hull;
  for (int64_t i = first; i < last; ++i) {
    hull.begin = std::min(hull.begin, ranges[i].begin);
    hull.end = std::max(hull.end, ranges[i].end);
  }
  return hull;
}

}  // namespace

TilePairs CountTilePairs(const std::vector<int32_t>& queries, const std::vector<int32_t>& keys) {
  CHECK_EQ(queries.size(), keys.size());
  TilePairs pairs;
  for (size_t leaf = 0; leaf < queries.size(); ++leaf) {
    pairs.useful += int64_t{queries[leaf]} * keys[leaf];
  }
  const std::vector<Slots> ranges = RangesOf(queries, keys);
  for (int64_t first = 0; first < static_cast<int64_t>(ranges.size()); first += kWarpRows) {
    const Slots block = Hull(ranges, first / kBlockRows * kBlockRows, kBlockRows);
    const Slots warp = Hull(ranges, first, kWarpRows);
    if (warp.end == 0) continue;
    const int64_t first_slice = (warp.begin - block.begin) / kSlice;
    const int64_t last_slice = (warp.end - block.begin + kSlice - 1) / kSlice;
    pairs.computed += (last_slice - first_slice) * kSlice * kWarpRows;
  }
  return pairs;
}

}  // namespace treeformer::bench
