#pragma once

// float32 to bfloat16 and back, vectorised.

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace treeformer::cpu {

// y = x rounded to nearest, ties to even; beyond the largest bfloat16: infinity; NaN stays NaN.
// y may begin where x does: the values then move together into the first half of their memory.
void RoundToBFloat16(BFloat16* y, const float* x, int64_t count);

void WidenToFloat32(float* y, const BFloat16* x, int64_t count);  // exact

}  // namespace treeformer::cpu
