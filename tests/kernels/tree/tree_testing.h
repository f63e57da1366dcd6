#pragma once

// What the tests of the tree operations share: tensors on a back end, random leaves, documents with
// padding, and a builder of buckets.

#include <algorithm>

#include "kernels/tree/buckets/window.h"
#include "tests/testing.h"

namespace treeformer::tree_testing {

template <typename T>
Buffer Upload(Context& ctx, const std::vector<T>& values, const Shape& shape) {
  CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
  Buffer buffer(ctx.device(), DTypeOf<T>(), shape);
  Copy(ctx, buffer, View<const T>(values.data(), shape));
  ctx.Synchronize();
  return buffer;
}

template <typename T>
std::vector<T> Download(Context& ctx, const Buffer& buffer) {
  std::vector<T> values(buffer.shape().count());
  Copy(ctx, View<T>(values.data(), buffer.shape()), buffer);
  ctx.Synchronize();
  return values;
}

template <typename To, typename From>
std::vector<To> Converted(const std::vector<From>& values) {
  return std::vector<To>(values.begin(), values.end());
}

// `count` leaf numbers below `leaves`.
inline std::vector<int32_t> RandomLeaves(int64_t count, int leaves, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> leaf(count);
  for (int32_t& l : leaf) l = static_cast<int32_t>(engine() % leaves);
  return leaf;
}

// document [B, n]: `documents` runs of a sequence, then a tail of padding (-1) of about n / 8.
inline std::vector<int32_t> Documents(int64_t B, int64_t n, int documents, bool padding) {
  std::vector<int32_t> document(B * n);
  const int64_t used = padding ? n - n / 8 : n;
  for (int64_t i = 0; i < B * n; ++i) {
    const int64_t position = i % n;
    document[i] = position < used ? static_cast<int32_t>(position * documents / used) : -1;
  }
  return document;
}

// Leaves of padding rows become -1.
inline void MaskLeaves(std::vector<int32_t>& leaf, const std::vector<int32_t>& document, int64_t H,
                       int64_t n) {
  for (size_t row = 0; row < leaf.size(); ++row) {
    if (document[row / n / H * n + row % n] < 0) leaf[row] = -1;
  }
}

// A collapsed tree: all rows but padding in one leaf.
inline void Collapse(std::vector<int32_t>& leaf, int32_t to) {
  for (int32_t& l : leaf) l = l < 0 ? l : to;
}

// Owns what a Buckets reads.
class BucketStore {
 public:
  BucketStore(Context& ctx, const std::vector<int32_t>& query_leaf,
              const std::vector<int32_t>& key_leaf, const std::vector<int32_t>& document, int64_t B,
              int64_t H, int64_t n, int64_t leaves)
      : query_order_(Unwritten(ctx, {B, H, n})),
        key_order_(Unwritten(ctx, {B, H, n})),
        key_range_(Unwritten(ctx, {B, H, n, 2})),
        query_range_(Unwritten(ctx, {B, H, n, 2})) {
    const Buffer queries = Upload(ctx, query_leaf, {B, H, n});
    const Buffer keys = Upload(ctx, key_leaf, {B, H, n});
    const Buffer documents = Upload(ctx, document, {B, n});
    SortByLeaf(ctx, query_order_, queries, documents, leaves);
    SortByLeaf(ctx, key_order_, keys, documents, leaves);
    const RowsByLeaf query_rows{query_order_, queries, documents};
    const RowsByLeaf key_rows{key_order_, keys, documents};
    MatchRanges(ctx, key_range_, query_rows, key_rows);
    MatchRanges(ctx, query_range_, key_rows, query_rows);
    ctx.Synchronize();
  }

  // Only rows at most `reach` positions apart meet.
  void Narrow(Context& ctx, int64_t reach) {
    NarrowRanges(ctx, key_range_.as<int32_t>(), query_order_.as<int32_t>(),
                 key_order_.as<int32_t>(), reach);
    NarrowRanges(ctx, query_range_.as<int32_t>(), key_order_.as<int32_t>(),
                 query_order_.as<int32_t>(), reach);
    ctx.Synchronize();
  }

  Buckets buckets() const { return {query_order_, key_order_, key_range_, query_range_}; }

 private:
  static Buffer Unwritten(Context& ctx, const Shape& shape) {
    return Upload(ctx, std::vector<int32_t>(shape.count(), -7), shape);
  }

  Buffer query_order_, key_order_, key_range_, query_range_;
};

}  // namespace treeformer::tree_testing
