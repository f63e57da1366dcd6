#pragma once

#include <cstdint>

#include "kernels/runtime/view.h"

namespace treeformer::cpu {

// The rows of one head of one sequence, list b H + h, of x [B, n, H, e].
struct HeadRows {
  const float* data;  // of position 0
  int64_t ld;         // H e
  int64_t e;

  HeadRows(View<const float> x, int64_t list) : ld(x.shape()[2] * x.shape()[3]), e(x.shape()[3]) {
    const int64_t n = x.shape()[1], H = x.shape()[2];
    data = x.data() + (list / H) * n * ld + (list % H) * e;
  }
  const float* row(int64_t i) const { return data + i * ld; }
};

}  // namespace treeformer::cpu
