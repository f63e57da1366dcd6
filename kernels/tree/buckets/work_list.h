#pragma once

// The work of attention on buckets, in items that any thread may do: a rectangle of slots, some
// neighbouring rows of one list and the hull of the ranges of columns that they see.
//
//   Every pair of a row and a column of its range is in one item; a row is in one item, or in none
//   where it sees no column.  Items ascend by list, then by row.  Rows are queries and columns
//   keys, or the other way round.
//   cost = rows x columns: the pairs of the item, and where ranges overlap those between them
//
// Ranges ascend: neither their begins nor their ends ever step back from one slot to the next, but
// for rows without columns.  Those of buckets are equal or apart; those of a window overlap.
// The GPU makes its units from the same ranges: kernels/tree/tf/tf_schedule_kernels.cuh.

#include <vector>

#include "kernels/tree/buckets/buckets.h"

namespace treeformer {

struct WorkItem {
  int64_t list;  // b H + h
  int64_t row_begin, row_end;
  int64_t column_begin, column_end;

  int64_t rows() const { return row_end - row_begin; }
  int64_t columns() const { return column_end - column_begin; }
  int64_t cost() const { return rows() * columns(); }
  friend bool operator==(const WorkItem&, const WorkItem&) = default;
};

using WorkList = std::vector<WorkItem>;

constexpr int64_t kStairRows = 64;  // of an item whose ranges differ: a fuller rectangle

// range [B, H, n, 2] of MatchRanges, on the host.  Rows whose ranges are equal make an item of at
// most max_rows of them; rows whose ranges overlap one of at most kStairRows.
WorkList MakeWorkList(Ids range, int64_t max_rows);

}  // namespace treeformer
