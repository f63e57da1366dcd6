#include <algorithm>

#include "kernels/tree/buckets/window.h"

namespace treeformer {

void cpu::NarrowRanges(Context&, View<int32_t> range, Ids order, Ids other_order, int64_t reach) {
  const int64_t n = order.shape()[2];
#pragma omp parallel for schedule(static) if (order.count() > 4096)
  for (int64_t row = 0; row < order.count(); ++row) {
    const int32_t* other = other_order.data() + row / n * n;
    int32_t* own = range.data() + 2 * row;
    const int64_t i = order[row];
    const int32_t *first = other + own[0], *last = other + own[1];
    const int32_t* begin = std::lower_bound(first, last, i - reach);
    const int32_t* end = std::upper_bound(begin, last, i + reach);
    own[0] = begin < end ? static_cast<int32_t>(begin - other) : 0;
    own[1] = begin < end ? static_cast<int32_t>(end - other) : 0;
  }
}

}  // namespace treeformer
