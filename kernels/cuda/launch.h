#pragma once

// What launchers (x.cu) share.  Only nvcc reads it.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "kernels/check.h"
#include "kernels/cuda/blocks.h"
#include "kernels/runtime/context.h"

namespace cuda {

// Blocks of `per_block` items each, for the x extent of a grid.
inline int BlockCount(int64_t items, int64_t per_block) {
  const int64_t blocks = DivideUp(items, per_block);
  CHECK_LE(blocks, std::numeric_limits<int32_t>::max());
  return static_cast<int>(blocks);
}

// For 16-byte loads and stores.  Buffers and arenas are aligned to 64 bytes; a view inside of one
// whose offset is odd is the caller's error.
inline void CheckAligned(In view) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(view.data()) % 16, 0u) << "16-byte access";
}

// Rows of `columns` elements may be read and written eight at a time, by 16-byte accesses.
inline bool AllowsVectors(int64_t columns, std::initializer_list<In> views) {
  return columns % 8 == 0 && std::all_of(views.begin(), views.end(), [](In view) {
           return reinterpret_cast<uintptr_t>(view.data()) % 16 == 0;
         });
}

// Before a launch with more than 48 KiB of dynamic shared memory.
template <typename Kernel>
void AllowSharedBytes(Kernel* kernel, int64_t bytes) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)));
}

}  // namespace cuda
