#include "kernels/tree/buckets.h"

#include <numeric>

#include "tests/kernels/tree/tree_testing.h"

namespace {

using namespace testing_util;
using namespace tree_testing;

struct Case {
  int64_t B, H, n;
  int leaves, documents;
  bool padding;
};

// The last two have far more (document, leaf) pairs than rows.
std::vector<Case> Cases() {
  return {{1, 1, 1, 1, 1, false},   {2, 3, 17, 4, 1, true},      {1, 2, 64, 1, 5, true},
          {2, 1, 257, 8, 3, false}, {1, 2, 100, 1000, 10, true}, {1, 1, 33, 100000, 7, true}};
}

class BucketsOn : public testing::TestWithParam<Device> {};
INSTANTIATE_TEST_SUITE_P(Backends, BucketsOn, testing::ValuesIn(Backends()), BackendName);

// (document, leaf, position), padding last: the order wanted.
std::vector<int32_t> StableOrder(const int32_t* leaf, const int32_t* document, int64_t n) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t i, int32_t j) {
    const bool pad_i = leaf[i] < 0 || document[i] < 0, pad_j = leaf[j] < 0 || document[j] < 0;
    if (pad_i || pad_j) return !pad_i && pad_j;
    return std::pair(document[i], leaf[i]) < std::pair(document[j], leaf[j]);
  });
  return order;
}

TEST_P(BucketsOn, SortIsStableByDocumentAndLeafWithPaddingLast) {
  Context ctx = ContextOn(GetParam());
  for (const auto& [B, H, n, leaves, documents, padding] : Cases()) {
    auto document = Documents(B, n, documents, padding);
    for (int32_t& d : document) d = d < 0 ? d : (d * 7) % 11;  // neither ascending nor dense
    const auto leaf = RandomLeaves(B * H * n, leaves, 3);
    const Buffer order(ctx.device(), DType::kInt32, {B, H, n});
    SortByLeaf(ctx, order, Upload(ctx, leaf, {B, H, n}).as<int32_t>(),
               Upload(ctx, document, {B, n}).as<int32_t>(), leaves);
    const auto result = Download<int32_t>(ctx, order);
    for (int64_t list = 0; list < B * H; ++list) {
      const auto expected = StableOrder(&leaf[list * n], &document[list / H * n], n);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), result.begin() + list * n));
    }
  }
}

TEST_P(BucketsOn, RangesHoldExactlyTheRowsOfTheSameDocumentAndLeaf) {
  Context ctx = ContextOn(GetParam());
  for (const auto& [B, H, n, leaves, documents, padding] : Cases()) {
    const auto document = Documents(B, n, documents, padding);
    auto query_leaf = RandomLeaves(B * H * n, leaves, 1),
         key_leaf = RandomLeaves(B * H * n, leaves, 2);
    MaskLeaves(query_leaf, document, H, n);
    MaskLeaves(key_leaf, document, H, n);
    const BucketStore store(ctx, query_leaf, key_leaf, document, B, H, n, leaves);
    const auto host = [&](Ids ids) {
      std::vector<int32_t> values(ids.count());
      Copy(ctx, View<int32_t>(values.data(), ids.shape()), ids);
      ctx.Synchronize();
      return values;
    };
    const auto queries = host(store.buckets().query_order), keys = host(store.buckets().key_order);
    const auto range = host(store.buckets().key_range);
    for (int64_t row = 0; row < B * H * n; ++row) {
      const int64_t list = row / n, b = list / H;
      const int32_t i = queries[row], leaf = query_leaf[list * n + i];
      const int32_t begin = range[2 * row], end = range[2 * row + 1];
      int64_t matches = 0;
      for (int64_t j = 0; j < n; ++j) {
        matches += leaf >= 0 && key_leaf[list * n + j] == leaf &&
                   document[b * n + j] == document[b * n + i];
      }
      ASSERT_EQ(end - begin, matches);
      EXPECT_TRUE(matches > 0 || begin == 0);
      for (int32_t s = begin; s < end; ++s) {
        const int32_t j = keys[list * n + s];
        EXPECT_EQ(key_leaf[list * n + j], leaf);
        EXPECT_EQ(document[b * n + j], document[b * n + i]);
      }
    }
  }
}

TEST_P(BucketsOn, CountsTheRowsOfEveryLeafWithoutPadding) {
  Context ctx = ContextOn(GetParam());
  const Buffer count(ctx.device(), DType::kInt32, {1, 2, 4});
  const Buffer leaf = Upload<int32_t>(ctx, {0, 3, 3, -1, 2, -1, -1, 2}, {1, 2, 4});
  CountLeaves(ctx, count, leaf.as<int32_t>());
  EXPECT_EQ(Download<int32_t>(ctx, count), (std::vector<int32_t>{1, 0, 0, 2, 0, 0, 2, 0}));
  CountLeaves(ctx, count, leaf.as<int32_t>());
  EXPECT_EQ(Download<int32_t>(ctx, count), (std::vector<int32_t>{2, 0, 0, 4, 0, 0, 4, 0}));
}

}  // namespace
