#include "kernels/tree/buckets/buckets.h"

#include "tests/kernels/tree/buckets_case.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

class BucketsOn : public BackendTest {
 protected:
  std::vector<int32_t> Sorted(const BucketCase& c, const BucketRows& rows) {
    const Shape lists{c.B, c.H, c.n};
    const Buffer order = Upload(ctx_, std::vector<int32_t>(lists.count(), -7), lists);
    SortByLeaf(ctx_, order, Upload(ctx_, rows.leaf, lists).as<int32_t>(),
               Upload(ctx_, rows.document, {c.B, c.n}).as<int32_t>(), c.leaves);
    return Download<int32_t>(ctx_, order);
  }
};
INSTANTIATE_BACKENDS(BucketsOn);

TEST_P(BucketsOn, SortIsStableByDocumentAndLeafWithPaddingLast) {
  for (const BucketCase& c : BucketCases()) {
    SCOPED_TRACE(testing::Message() << "n = " << c.n << ", leaves = " << c.leaves);
    BucketRows rows = MakeRows(c, 3);
    EXPECT_EQ(Sorted(c, rows), StableOrder(c, rows));
    // Documents neither ascending nor dense; padding may have a leaf.
    rows.leaf = RandomLeaves(c.B * c.H * c.n, c.leaves, 4);
    for (int32_t& d : rows.document) d = d < 0 ? d : (d * 7) % 11 + 1000;
    EXPECT_EQ(Sorted(c, rows), StableOrder(c, rows));
    Collapse(rows.leaf, c.leaves - 1);
    EXPECT_EQ(Sorted(c, rows), StableOrder(c, rows));
  }
}

// Longer than one block of a GPU sorts, and just as long; one digit, and two.
TEST_P(BucketsOn, SortTakesLongLists) {
  for (const BucketCase& c :
       {BucketCase{1, 1, 16384, 64, 1, true}, BucketCase{1, 2, 16385, 64, 1, true},
        BucketCase{2, 1, 20011, 300, 13, true}}) {
    const BucketRows rows = MakeRows(c, 4);
    EXPECT_TRUE(Sorted(c, rows) == StableOrder(c, rows)) << c.n;
  }
}

TEST_P(BucketsOn, RangesHoldExactlyTheRowsOfTheSameDocumentAndLeaf) {
  for (const BucketCase& c : BucketCases()) {
    const auto& [B, H, n, leaves, documents, padding] = c;
    const auto [query_leaf, document] = MakeRows(c, 1);
    const auto key_leaf = MakeRows(c, 2).leaf;
    const BucketStore store(ctx_, query_leaf, key_leaf, document, B, H, n, leaves);
    const auto host = [&](Ids ids) {
      std::vector<int32_t> values(ids.count());
      Copy(ctx_, View<int32_t>(values.data(), ids.shape()), ids);
      ctx_.Synchronize();
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
        matches += !IsPadding(leaf, document[b * n + i]) && key_leaf[list * n + j] == leaf &&
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

// More rows and more leaves than a block of a GPU counts in shared memory.
TEST_P(BucketsOn, CountsTheRowsOfEveryLeafWithoutPadding) {
  for (const BucketCase& c : {BucketCase{2, 3, 17, 4, 1, true}, BucketCase{1, 2, 4097, 64, 1, true},
                              BucketCase{2, 1, 4500, 4097, 1, true}}) {
    SCOPED_TRACE(testing::Message() << "n = " << c.n << ", leaves = " << c.leaves);
    const BucketRows rows = MakeRows(c, 5);
    const Shape counts{c.B, c.H, c.leaves};
    std::vector<int32_t> expected(counts.count());
    for (size_t i = 0; i < rows.leaf.size(); ++i) {
      if (rows.leaf[i] >= 0) ++expected[i / c.n * c.leaves + rows.leaf[i]];
    }
    const Buffer count(ctx_.device(), DType::kInt32, counts);
    const Buffer leaf = Upload(ctx_, rows.leaf, {c.B, c.H, c.n});
    CountLeaves(ctx_, count, leaf.as<int32_t>());
    EXPECT_EQ(Download<int32_t>(ctx_, count), expected);
    CountLeaves(ctx_, count, leaf.as<int32_t>());
    for (int32_t& rows_of_leaf : expected) rows_of_leaf *= 2;
    EXPECT_EQ(Download<int32_t>(ctx_, count), expected);
  }
}

}  // namespace

}  // namespace treeformer
