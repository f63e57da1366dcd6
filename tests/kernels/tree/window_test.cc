#include "kernels/tree/buckets/window.h"

#include "tests/kernels/tree/buckets_case.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

class WindowOn : public BackendTest {
 protected:
  std::vector<int32_t> Host(Ids ids) {
    std::vector<int32_t> values(ids.count());
    Copy(ctx_, View<int32_t>(values.data(), ids.shape()), ids);
    ctx_.Synchronize();
    return values;
  }
};
INSTANTIATE_BACKENDS(WindowOn);

// Reach: the row alone, a few, none of the rows is so far.
TEST_P(WindowOn, NarrowedRangesHoldExactlyTheRowsWithinReach) {
  for (const BucketCase& c : BucketCases()) {
    const auto& [B, H, n, leaves, documents, padding] = c;
    const auto [query_leaf, document] = MakeRows(c, 1);
    const auto key_leaf = MakeRows(c, 2).leaf;
    for (const int64_t reach : {int64_t{0}, int64_t{1}, n / 3, n, int64_t{1} << 40}) {
      SCOPED_TRACE(testing::Message() << "n = " << n << ", reach " << reach);
      BucketStore store(ctx_, query_leaf, key_leaf, document, B, H, n, leaves);
      const auto wide = Host(store.buckets().key_range);
      store.Narrow(ctx_, reach);
      const auto queries = Host(store.buckets().query_order);
      const auto keys = Host(store.buckets().key_order), range = Host(store.buckets().key_range);
      for (int64_t row = 0; row < B * H * n; ++row) {
        const int32_t begin = range[2 * row], end = range[2 * row + 1];
        const auto near = [&](int32_t slot) {
          return std::abs(keys[row / n * n + slot] - queries[row]) <= reach;
        };
        int64_t expected = 0;
        for (int32_t s = wide[2 * row]; s < wide[2 * row + 1]; ++s) expected += near(s);
        ASSERT_EQ(end - begin, expected);
        ASSERT_TRUE(expected > 0 || begin == 0);
        if (expected == 0) continue;
        ASSERT_TRUE(wide[2 * row] <= begin && end <= wide[2 * row + 1]);
        ASSERT_TRUE(near(begin) && near(end - 1));
      }
    }
  }
}

}  // namespace

}  // namespace treeformer
