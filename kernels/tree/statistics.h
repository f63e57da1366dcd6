#pragma once

// What a layer's trees did to one micro-batch: figures for the log.

#include <cmath>
#include <cstdint>
#include <vector>

namespace treeformer {

// Sums over one or several micro-batches, so that an empty one adds nothing to their shares.
struct PairCounts {
  double pairs = 0;          // attended: a query and a key in the same leaf and document
  double all_pairs = 0;      // full attention would attend
  double queries = 0;        // of all heads
  double empty_queries = 0;  // whose leaf holds no key

  PairCounts& operator+=(const PairCounts& other);
  double Density() const { return pairs / all_pairs; }           // NaN: of no pairs
  double EmptyShare() const { return empty_queries / queries; }  // NaN: of no queries
};

struct TreeStatistics {
  PairCounts counts;
  double density = 1;         // counts.Density(); 1 too where there are no trees
  double square_density = 1;  // the same / n^2 a sequence: without documents and padding
  double leaf_entropy = 0;    // of keys over leaves, nats, mean over (b, h); log L is balanced
  double empty_queries = 0;   // counts.EmptyShare()
  double mean_strength = 0;   // mean |f| (k-ary: margin) on the paths
  int64_t leaves = 1;
  std::vector<double> keys_per_leaf;  // [H L]: mean number of keys a sequence, per head and leaf

  // leaf_entropy / log L, in [0, 1]; 1 for one leaf
  double balance() const { return leaves > 1 ? leaf_entropy / std::log(leaves) : 1; }
};

// query_leaf, key_leaf [B, H, n], strength [B, H, n] of queries, document [B, n], all on the host.
// A leaf id -1 is padding.
TreeStatistics ComputeTreeStatistics(const std::vector<int32_t>& query_leaf,
                                     const std::vector<int32_t>& key_leaf,
                                     const std::vector<float>& strength,
                                     const std::vector<int32_t>& document, int64_t batch,
                                     int64_t heads, int64_t length, int64_t leaves);

}  // namespace treeformer
