#pragma once

// Any view as a file that numpy.load and most tools read: the NPY format, version 1.0 (NumPy,
// numpy.lib.format).  The values are little-endian and row-major: float32, float64 and int32 as
// they are, bfloat16 widened to float32, because the format has no name for it.

#include <string>

#include "kernels/runtime/context.h"

namespace treeformer::runtime {

// Waits for the stream of `ctx`, then writes `view`, on either device, to `path`.  UserError where
// the file cannot be written.  It serves those who debug; nothing else calls it:
//
//   DumpNpy(ctx, "/tmp/scores.npy", scores);        numpy.load("/tmp/scores.npy")
void DumpNpy(Context& ctx, const std::string& path, In view);

}  // namespace treeformer::runtime

namespace treeformer {
using runtime::DumpNpy;
}  // namespace treeformer
