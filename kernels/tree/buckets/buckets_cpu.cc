#include <algorithm>
#include <vector>

#include "kernels/tree/buckets/buckets.h"

namespace treeformer {
namespace cpu {
namespace {

constexpr int64_t kParallel = 4096;  // rows: below it, waking threads costs more than the work

bool IsPadding(int32_t leaf, int32_t document) { return leaf < 0 || document < 0; }

// rank [n]: the place of each row's document among the distinct documents of the sequence,
// ascending; -1: padding.  Returns their number.
int64_t RankDocuments(std::vector<int32_t>& rank, const int32_t* document, int64_t n) {
  std::vector<int32_t> distinct;
  for (int64_t i = 0; i < n; ++i) {
    if (document[i] < 0 || (!distinct.empty() && distinct.back() == document[i])) continue;
    distinct.push_back(document[i]);
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (int64_t i = 0; i < n; ++i) {
    const auto place = std::lower_bound(distinct.begin(), distinct.end(), document[i]);
    rank[i] = document[i] < 0 ? -1 : static_cast<int32_t>(place - distinct.begin());
  }
  return static_cast<int64_t>(distinct.size());
}

// Key of row i: (document, leaf) as one number below `bins`; padding: `bins`.
int64_t KeyOf(int32_t rank, int32_t leaf, int64_t leaves, int64_t bins) {
  CHECK_LT(leaf, leaves);
  return IsPadding(leaf, rank) ? bins : rank * leaves + leaf;
}

void CountingSort(int32_t* order, const int32_t* leaf, const std::vector<int32_t>& rank,
                  int64_t leaves, int64_t bins, std::vector<int32_t>& begin) {
  const int64_t n = static_cast<int64_t>(rank.size());
  begin.assign(bins + 2, 0);
  for (int64_t i = 0; i < n; ++i) ++begin[KeyOf(rank[i], leaf[i], leaves, bins) + 1];
  for (int64_t k = 0; k <= bins; ++k) begin[k + 1] += begin[k];
  for (int64_t i = 0; i < n; ++i) {
    order[begin[KeyOf(rank[i], leaf[i], leaves, bins)]++] = static_cast<int32_t>(i);
  }
}

void SparseSort(int32_t* order, const int32_t* leaf, const std::vector<int32_t>& rank,
                int64_t leaves, int64_t bins) {
  const int64_t n = static_cast<int64_t>(rank.size());
  std::vector<std::pair<int64_t, int32_t>> rows(n);  // (key, position): all different
  for (int64_t i = 0; i < n; ++i) {
    rows[i] = {KeyOf(rank[i], leaf[i], leaves, bins), static_cast<int32_t>(i)};
  }
  std::sort(rows.begin(), rows.end());
  for (int64_t s = 0; s < n; ++s) order[s] = rows[s].second;
}

}  // namespace
}  // namespace cpu

void cpu::SortByLeaf(Context&, View<int32_t> order, Ids leaf, Ids document, int64_t leaves) {
  const int64_t B = leaf.shape()[0], H = leaf.shape()[1], n = leaf.shape()[2];
#pragma omp parallel if (leaf.count() > kParallel)
  {
    std::vector<int32_t> rank(n), begin;
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t bins = leaves * RankDocuments(rank, document.data() + b * n, n);
        const int64_t first = (b * H + h) * n;
        if (bins <= 4 * n) {
          CountingSort(order.data() + first, leaf.data() + first, rank, leaves, bins, begin);
        } else {
          SparseSort(order.data() + first, leaf.data() + first, rank, leaves, bins);
        }
      }
    }
  }
}

// Both sides ascend in (document, leaf): one walk along the two.
void cpu::MatchRanges(Context&, View<int32_t> range, const RowsByLeaf& rows,
                      const RowsByLeaf& others) {
  const int64_t B = rows.leaf.shape()[0], H = rows.leaf.shape()[1];
  const int64_t n = rows.leaf.shape()[2], other_n = others.leaf.shape()[2];
#pragma omp parallel for collapse(2) schedule(static) if (rows.leaf.count() > kParallel)
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      const int64_t list = b * H + h, first = list * n;
      const auto key = [&](const RowsByLeaf& side, int64_t length, int64_t slot) {
        const int64_t i = side.order[list * length + slot];
        return std::pair(side.document[b * length + i], side.leaf[list * length + i]);
      };
      const auto other_key = [&](int64_t slot) { return key(others, other_n, slot); };
      const auto other_padding = [&](int64_t slot) {
        const auto [other_document, its_leaf] = other_key(slot);
        return IsPadding(its_leaf, other_document);
      };
      int64_t other_rows = other_n;  // padding comes last
      while (other_rows > 0 && other_padding(other_rows - 1)) --other_rows;

      int64_t begin = 0, end = 0;
      for (int64_t slot = 0; slot < n; ++slot) {
        const auto own = key(rows, n, slot);
        int32_t* out = range.data() + (first + slot) * 2;
        out[0] = out[1] = 0;
        if (IsPadding(own.second, own.first)) continue;
        while (begin < other_rows && other_key(begin) < own) ++begin;
        end = std::max(begin, end);
        while (end < other_rows && other_key(end) == own) ++end;
        if (begin == end) continue;
        out[0] = static_cast<int32_t>(begin);
        out[1] = static_cast<int32_t>(end);
      }
    }
  }
}

void cpu::CountLeaves(Context&, View<int32_t> count, Ids leaf) {
  const int64_t lists = leaf.shape()[0] * leaf.shape()[1], n = leaf.shape()[2];
  const int64_t L = count.shape()[2];
#pragma omp parallel for schedule(static) if (leaf.count() > kParallel)
  for (int64_t list = 0; list < lists; ++list) {
    int32_t* counts = count.data() + list * L;
    for (int64_t i = 0; i < n; ++i) {
      const int32_t l = leaf[list * n + i];
      CHECK_LT(l, L);
      if (l >= 0) ++counts[l];
    }
  }
}

}  // namespace treeformer
