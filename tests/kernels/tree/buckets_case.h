#pragma once

// Leaves and documents to sort, and the order wanted.

#include <numeric>

#include "tests/kernels/tree/tree_testing.h"

namespace treeformer::tree_testing {

struct BucketCase {
  int64_t B, H, n;
  int leaves, documents;
  bool padding;
};

struct BucketRows {
  std::vector<int32_t> leaf, document;
};

// Leaves of a few rows are missing though their document is there.
inline BucketRows MakeRows(const BucketCase& c, unsigned seed) {
  BucketRows rows{RandomLeaves(c.B * c.H * c.n, c.leaves, seed),
                  Documents(c.B, c.n, c.documents, c.padding)};
  MaskLeaves(rows.leaf, rows.document, c.H, c.n);
  if (c.padding) {
    for (size_t i = 5; i < rows.leaf.size(); i += 13) rows.leaf[i] = -1;
  }
  return rows;
}

inline bool IsPadding(int32_t leaf, int32_t document) { return leaf < 0 || document < 0; }

// (document, leaf, position), padding last: the order wanted.
inline std::vector<int32_t> StableOrder(const BucketCase& c, const BucketRows& rows) {
  std::vector<int32_t> order;
  for (int64_t list = 0; list < c.B * c.H; ++list) {
    const int32_t* leaf = &rows.leaf[list * c.n];
    const int32_t* document = &rows.document[list / c.H * c.n];
    std::vector<int32_t> own(c.n);
    std::iota(own.begin(), own.end(), 0);
    std::stable_sort(own.begin(), own.end(), [&](int32_t i, int32_t j) {
      const bool pad_i = IsPadding(leaf[i], document[i]), pad_j = IsPadding(leaf[j], document[j]);
      if (pad_i || pad_j) return !pad_i && pad_j;
      return std::pair(document[i], leaf[i]) < std::pair(document[j], leaf[j]);
    });
    order.insert(order.end(), own.begin(), own.end());
  }
  return order;
}

// One digit, exactly full and just not; two and three; many documents, one row each; only padding.
inline std::vector<BucketCase> BucketCases() {
  return {{1, 1, 1, 1, 1, false},       {2, 3, 17, 4, 1, true},      {1, 2, 64, 1, 5, true},
          {2, 1, 257, 8, 3, false},     {1, 2, 100, 1000, 10, true}, {1, 1, 33, 100000, 7, true},
          {1, 1, 131, 2047, 1, true},   {1, 1, 131, 2048, 1, true},  {1, 2, 1025, 64, 1, true},
          {1, 1, 70, 9000000, 60, true}};
}

}  // namespace treeformer::tree_testing
