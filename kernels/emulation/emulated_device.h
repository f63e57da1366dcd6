#pragma once

// An emulated GPU: the CUDA half of the runtime (kernels/runtime/context.h) and its stream, on the
// host.  Linked instead of a build without CUDA, it gives Context::Cuda(0) on any machine, so that
// launchers, layers, models and the program itself are tested with the real kernels
// (emulation.h), launch by launch as on a GPU.  For tests: about 10,000 times slower than a GPU.
//
//   stream   work waits in order until Synchronize: a result that the host reads too early is
//            missing; each launch has its own order of threads and blocks, and late or eager copies
//   graphs   work that is recorded may neither wait nor take new memory, and its kernels have run
//            before: a GPU loads a kernel when it is first launched
//   memory   filled with 0xff (NaN) when new; only work of the stream may touch it: the host dies
//            by SIGSEGV where it reads or writes it, and a kernel at the end of an allocation

#include <functional>

#include "kernels/emulation/emulation.h"

namespace treeformer::emulation {

using Work = std::function<void(const Options&)>;

// Behind the work given before it.  `kernel` tells one kind of work from another.
void Give(Work work, const void* kernel = nullptr);

// CUDA graphs that were made because there was none, or none of the same kernels in this order.
int64_t GraphsMade();

// From now on each `every`-th product is one that cuBLASLt knows no algorithm for; 0: none is.
void MakeProductsUnknown(int every);

}  // namespace treeformer::emulation
