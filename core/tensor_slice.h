#pragma once

// TensorSlice: a named tensor, or a part of it, as checkpoints write and read it.  Who has a shard
// of a tensor describes it by the whole tensor's shape and the elements that it has.

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/runtime/view.h"

namespace treeformer {

struct Range {  // elements [begin, end) of a buffer or of a tensor
  int64_t begin = 0;
  int64_t end = 0;
  int64_t count() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

// Empty where they have nothing in common.
inline Range Intersect(Range a, Range b) {
  const int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

struct TensorSlice {
  std::string name;
  Shape shape;     // of the whole tensor
  Range elements;  // those in `data`, counted in the whole tensor, row-major
  Out data;        // elements.count() of them, on any device

  bool whole() const { return elements == Range{0, shape.count()}; }
};

}  // namespace treeformer
