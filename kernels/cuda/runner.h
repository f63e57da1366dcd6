#pragma once

// Runner: the memory and the launches of an operation of several kernels.  The operation is a
// template over it, so that the test that emulates its kernels runs the same sequence:
//
//   template <typename Runner>
//   void RunX(Runner& runner, ...) {
//     float* partial = runner.template Take<float>(count);           // not initialised
//     runner.Launch(XKernel, Blocks{x, y}, kXThreads, bytes, ...);   // arguments of XKernel
//   }
//
// The other runner: tests/kernels/cuda/emulated_runner.h.

#include "kernels/cuda/launch.h"

namespace treeformer::cuda {

class Runner {
 public:
  explicit Runner(Context& ctx) : ctx_(ctx), scope_(ctx.scratch()) {}

  template <typename T>
  T* Take(int64_t count) {
    return scope_.Take<T>({count}).data();
  }

  template <typename... Parameters, typename... Arguments>
  void Launch(void (*kernel)(Parameters...), Blocks blocks, int threads, int64_t shared_bytes,
              const Arguments&... arguments) {
    cuda::Launch(ctx_, kernel, blocks, threads, shared_bytes, arguments...);
  }

 private:
  Context& ctx_;
  Scratch::Scope scope_;
};

}  // namespace treeformer::cuda
