#pragma once

// The GPU's part of Copy and Zero (context.h), on the stream of a CUDA context: cuda.cc,
// no_cuda.cc, and the emulated GPU.  Memory of the host goes to a GPU by Context::CopyToCuda.

#include "kernels/runtime/context.h"

namespace treeformer::runtime {

void CopyFromCuda(Context& ctx, Out dst, In src);  // dst on either side
void ZeroOnCuda(Context& ctx, Out dst);

}  // namespace treeformer::runtime
