#include "kernels/tree/buckets/work_list.h"

#include <array>
#include <map>
#include <numeric>

#include "tests/kernels/tree/buckets_case.h"

namespace treeformer {

namespace {

using namespace tree_testing;

// visit(range, max_rows) of buckets and, narrowed to a reach, of windows on them; from both sides.
template <typename Visit>
void ForEachRange(const Visit& visit) {
  Context ctx = Context::Cpu();
  for (const BucketCase& c : BucketCases()) {
    const auto [query_leaf, document] = MakeRows(c, 1);
    const auto key_leaf = MakeRows(c, 2).leaf;
    for (const int64_t reach : {int64_t{0}, int64_t{1}, c.n / 3, c.n}) {
      SCOPED_TRACE(testing::Message() << "n = " << c.n << ", reach " << reach);
      BucketStore store(ctx, query_leaf, key_leaf, document, c.B, c.H, c.n, c.leaves);
      store.Narrow(ctx, reach);
      for (const int64_t max_rows : {int64_t{10}, 2 * kStairRows}) {
        visit(store.buckets().key_range, max_rows);
        visit(store.buckets().query_range, max_rows);
      }
    }
  }
}

TEST(WorkList, HoldsEveryPairOfARowAndAColumnOfItsRangeOnce) {
  ForEachRange([](Ids range, int64_t max_rows) {
    const int64_t n = range.shape()[2], rows = range.count() / 2;
    std::vector<int> items_of(rows);
    for (const WorkItem& item : MakeWorkList(range, max_rows)) {
      for (int64_t r = item.row_begin; r < item.row_end; ++r) {
        const int64_t row = item.list * n + r;
        ++items_of[row];
        EXPECT_LE(item.column_begin, range[2 * row]);
        EXPECT_GE(item.column_end, range[2 * row + 1]);
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      EXPECT_EQ(items_of[row], range[2 * row] < range[2 * row + 1]) << "row " << row;
    }
  });
}

TEST(WorkList, ItemsAscendAndAreOfAtMostSoManyRows) {
  ForEachRange([](Ids range, int64_t max_rows) {
    int64_t end = 0;  // of the rows of all lists
    for (const WorkItem& item : MakeWorkList(range, max_rows)) {
      EXPECT_GE(item.list * range.shape()[2] + item.row_begin, end);
      end = item.list * range.shape()[2] + item.row_end;
      EXPECT_LE(item.rows(), max_rows);
      EXPECT_GT(item.columns(), 0);
    }
  });
}

int64_t Cost(const WorkList& items) {
  return std::accumulate(items.begin(), items.end(), int64_t{0},
                         [](int64_t sum, const WorkItem& item) { return sum + item.cost(); });
}

TEST(WorkList, CostsOfBucketsAddUpToTheirPairsOfQueryAndKey) {
  Context ctx = Context::Cpu();
  for (const BucketCase& c : BucketCases()) {
    const auto [query_leaf, document] = MakeRows(c, 1);
    const auto key_leaf = MakeRows(c, 2).leaf;
    std::map<std::array<int64_t, 3>, std::array<int64_t, 2>> buckets;  // rows of each side
    for (int64_t row = 0; row < c.B * c.H * c.n; ++row) {
      const int64_t list = row / c.n, of_row = document[list / c.H * c.n + row % c.n];
      if (of_row < 0) continue;
      if (query_leaf[row] >= 0) ++buckets[{list, of_row, query_leaf[row]}][0];
      if (key_leaf[row] >= 0) ++buckets[{list, of_row, key_leaf[row]}][1];
    }
    int64_t pairs = 0;
    for (const auto& [bucket, rows] : buckets) pairs += rows[0] * rows[1];
    const BucketStore store(ctx, query_leaf, key_leaf, document, c.B, c.H, c.n, c.leaves);
    for (const int64_t max_rows : {int64_t{10}, c.n}) {
      EXPECT_EQ(Cost(MakeWorkList(store.buckets().key_range, max_rows)), pairs) << "n = " << c.n;
      EXPECT_EQ(Cost(MakeWorkList(store.buckets().query_range, max_rows)), pairs) << "n = " << c.n;
    }
  }
}

}  // namespace

}  // namespace treeformer
