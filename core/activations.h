#pragma once

// Activations: the memory that layers keep from Forward to Backward.
//
// It is a list of blocks, handed out in the order of the calls of Make.  After Rewind the same
// calls get the same blocks, for the shapes of before or for smaller ones.  Before Allocate there
// is no memory: Make gives views without data and only notes how large each block must be, the
// largest of all passes.  So the same code plans the memory of a model, makes it, and runs it.

#include <algorithm>
#include <vector>

#include "kernels/runtime/buffer.h"

namespace treeformer {

class Activations {
 public:
  Activations(Device device, DType dtype) : device_(device), dtype_(dtype) {}

  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  void Rewind() { next_ = 0; }
  void Allocate() {
    allocated_ = true;
    for (int64_t bytes : bytes_) buffers_.emplace_back(device_, DType::kInt32, WordsOf(bytes));
  }

  Out Make(const Shape& shape) { return Make(dtype_, shape); }
  // For numbers that are kept per row: a mean, a loss, a margin.
  Out MakeStatistics(const Shape& shape) { return Make(StatisticsType(dtype_), shape); }
  View<int32_t> MakeInts(const Shape& shape) { return Make(DType::kInt32, shape); }

  int64_t bytes() const {  // of all blocks
    int64_t sum = 0;
    for (int64_t bytes : bytes_) sum += bytes;
    return sum;
  }

 private:
  static Shape WordsOf(int64_t bytes) { return {(bytes + 3) / 4}; }

  Out Make(DType dtype, const Shape& shape) {
    const int64_t bytes = shape.count() * SizeOf(dtype);
    const size_t block = next_++;
    if (!allocated_) {
      bytes_.resize(std::max(bytes_.size(), next_));
      bytes_[block] = std::max(bytes_[block], bytes);
      return Out(nullptr, dtype, shape, device_);
    }
    CHECK_LE(bytes, bytes_.at(block)) << "an activation that is larger than planned";
    return Out(buffers_[block].view().data(), dtype, shape, device_);
  }

  const Device device_;
  const DType dtype_;
  bool allocated_ = false;
  size_t next_ = 0;
  std::vector<int64_t> bytes_;   // [blocks]
  std::vector<Buffer> buffers_;  // [blocks], once there is memory
};

}  // namespace treeformer
