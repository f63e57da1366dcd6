#pragma once

// The documents of one sequence: contiguous, in ascending order, padding (negative) anywhere
// (datasets/batch.h).  document [n]; visit(begin, end) once per document.

#include <glog/logging.h>

#include <cstdint>

namespace treeformer {

template <typename Visit>
void ForEachDocument(const int32_t* document, int64_t n, const Visit& visit) {
  int32_t last = -1;
  for (int64_t begin = 0, end; begin < n; begin = end) {
    for (end = begin + 1; end < n && document[end] == document[begin];) ++end;
    if (document[begin] < 0) continue;
    CHECK_GT(document[begin], last) << "documents of a sequence stand in ascending order";
    last = document[begin];
    visit(begin, end);
  }
}

}  // namespace treeformer
