#include "kernels/tree/statistics.h"

#include <glog/logging.h>

#include <cmath>
#include <map>

namespace treeformer {

namespace {

// One (b, h).
struct Counts {
  std::map<int32_t, std::map<int32_t, int64_t>> queries, keys;  // [document][leaf]
  std::vector<int64_t> keys_per_leaf;
  int64_t tokens = 0;
};

double Entropy(const std::vector<int64_t>& count, int64_t total) {  // nats
  double entropy = 0;
  for (const int64_t c : count) {
    if (c == 0) continue;
    const double share = static_cast<double>(c) / total;
    entropy -= share * std::log(share);
  }
  return entropy;
}

}  // namespace

PairCounts& PairCounts::operator+=(const PairCounts& other) {
  pairs += other.pairs;
  all_pairs += other.all_pairs;
  queries += other.queries;
  empty_queries += other.empty_queries;
  return *this;
}

TreeStatistics ComputeTreeStatistics(const std::vector<int32_t>& query_leaf,
                                     const std::vector<int32_t>& key_leaf,
                                     const std::vector<float>& strength,
                                     const std::vector<int32_t>& document, int64_t batch,
                                     int64_t heads, int64_t length, int64_t leaves) {
  const size_t rows = batch * heads * length;
  CHECK_EQ(query_leaf.size(), rows);
  CHECK_EQ(key_leaf.size(), rows);
  CHECK_EQ(strength.size(), rows);
  CHECK_EQ(document.size(), static_cast<size_t>(batch * length));
  TreeStatistics statistics;
  statistics.leaves = leaves;
  statistics.keys_per_leaf.assign(heads * leaves, 0);
  PairCounts& sums = statistics.counts;
  int64_t trees = 0;
  double strengths = 0, entropy = 0;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t first = (b * heads + h) * length;
      Counts counts;
      counts.keys_per_leaf.assign(leaves, 0);
      for (int64_t i = 0; i < length; ++i) {
        const int32_t doc = document[b * length + i];
        if (doc < 0) continue;
        ++counts.queries[doc][query_leaf[first + i]];
        ++counts.keys[doc][key_leaf[first + i]];
        ++counts.keys_per_leaf[key_leaf[first + i]];
        ++counts.tokens;
        strengths += strength[first + i];
      }
      for (auto& [doc, leaf_queries] : counts.queries) {
        double document_tokens = 0;
        for (const auto& [leaf, count] : leaf_queries) {
          const int64_t leaf_keys = counts.keys[doc].contains(leaf) ? counts.keys[doc][leaf] : 0;
          document_tokens += count;
          sums.pairs += static_cast<double>(count) * leaf_keys;
          if (leaf_keys == 0) sums.empty_queries += count;
        }
        sums.all_pairs += document_tokens * document_tokens;
      }
      for (int64_t m = 0; m < leaves; ++m) {
        statistics.keys_per_leaf[h * leaves + m] +=
            static_cast<double>(counts.keys_per_leaf[m]) / batch;
      }
      sums.queries += counts.tokens;
      if (counts.tokens == 0) continue;
      entropy += Entropy(counts.keys_per_leaf, counts.tokens);
      ++trees;
    }
  }
  statistics.density = sums.Density();
  statistics.empty_queries = sums.EmptyShare();
  if (sums.queries == 0) return statistics;
  statistics.square_density = sums.pairs / (static_cast<double>(rows) * length);
  statistics.leaf_entropy = entropy / trees;
  statistics.mean_strength = strengths / sums.queries;
  return statistics;
}

}  // namespace treeformer
