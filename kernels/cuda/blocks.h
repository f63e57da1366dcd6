#pragma once

// Counting blocks, for launchers and for the tests that emulate them; the extents of a grid, for
// the runners (runner.h) of both sides.

#include <cstdint>

namespace treeformer::cuda {

struct Blocks {
  int64_t x = 1;
  int64_t y = 1;  // at most 65535
};

constexpr int64_t DivideUp(int64_t count, int64_t by) { return (count + by - 1) / by; }

}  // namespace treeformer::cuda
