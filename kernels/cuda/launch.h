#pragma once

// What launchers (x.cu) share: how an operation gives its kernels to the GPU.  nvcc compiles the
// launchers for a GPU; g++, for tests, for the emulated one (emulated_device.h).

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "kernels/emulation/emulated_device.h"
#endif

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "kernels/cuda/blocks.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/context.h"

namespace treeformer::cuda {

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

// Gives `kernel` to the stream of ctx; it has shared_bytes of dynamic shared memory.
template <typename... Parameters, typename... Arguments>
void Launch(Context& ctx, void (*kernel)(Parameters...), Blocks blocks, int threads,
            int64_t shared_bytes, const Arguments&... arguments) {
  CHECK(blocks.x > 0 && blocks.y > 0) << "a launch of no blocks";
  CHECK_LE(blocks.x, std::numeric_limits<int32_t>::max());
  CHECK_LE(blocks.y, 65535);
#ifdef __CUDACC__
  if (shared_bytes > 48 << 10) {  // bytes that need no permission
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)));
  }
  const dim3 grid(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y));
  kernel<<<grid, threads, shared_bytes, ctx.stream()>>>(static_cast<Parameters>(arguments)...);
  KERNEL_CHECK(ctx.stream());
#else
  CHECK(ctx.device() == Device::kCuda);
  const emulation::Grid grid{static_cast<int>(blocks.x), static_cast<int>(blocks.y)};
  const emulation::Work work = [=](const emulation::Options& options) {
    emulation::Launch(grid, threads, shared_bytes, options, kernel,
                      static_cast<Parameters>(arguments)...);
  };
  emulation::Give(work, reinterpret_cast<const void*>(kernel));
#endif
}

}  // namespace treeformer::cuda
