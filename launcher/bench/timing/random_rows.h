#pragma once

// Random operands, on either device.

#include <cstdint>

#include "kernels/runtime/context.h"

namespace treeformer::bench {

// values [...] of float32 or bfloat16 = N(0, 1), a pure function of the seed and the place.
void FillNormal(Context& ctx, Out values, uint64_t seed);

}  // namespace treeformer::bench
