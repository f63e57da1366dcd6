#include "kernels/tree/buckets/work_list.h"

#include <algorithm>

namespace treeformer {

namespace {

// The item whose first row is slot `row` of a list of n slots; without columns where that row is.
WorkItem ItemFrom(const int32_t* range, int64_t list, int64_t row, int64_t n, int64_t max_rows) {
  WorkItem item{list, row, row + 1, range[2 * row], range[2 * row + 1]};
  int64_t most = max_rows;
  for (; item.row_end < n && item.rows() < most; ++item.row_end) {
    const int32_t *next = range + 2 * item.row_end, *last = next - 2;
    if (next[0] != last[0] || next[1] != last[1]) {
      most = std::min(max_rows, kStairRows);
      const bool overlaps = next[0] < next[1] && next[0] < item.column_end;
      if (!overlaps || item.rows() >= most) break;
    }
    item.column_end = std::max<int64_t>(item.column_end, next[1]);
  }
  return item;
}

}  // namespace

WorkList MakeWorkList(Ids range, int64_t max_rows) {
  const int64_t n = range.shape()[2], lists = range.shape()[0] * range.shape()[1];
  WorkList items;
  for (int64_t list = 0; list < lists; ++list) {
    for (int64_t row = 0; row < n;) {
      const WorkItem item = ItemFrom(range.data() + list * n * 2, list, row, n, max_rows);
      if (item.columns() > 0) items.push_back(item);
      row = item.row_end;
    }
  }
  return items;
}

}  // namespace treeformer
