#pragma once

// The floor of an attention module: the time of the matrix products that it cannot do without, at
// the rate that oneDNN reaches here and now on contiguous operands of their shapes, all threads
// working on separate products.

#include "core/model_config.h"
#include "kernels/runtime/context.h"

namespace treeformer::bench {

struct Floor {
  double forward = 0, backward = 0;  // seconds
  double forward_attention = 0;      // of it: without the projections
  double flops_forward = 0, flops_backward = 0, flops_forward_attention = 0;
};

// Rows are [n, d]; density as measured.  Backward: of the projections twice, of attention 2.5
// times the forward products, and 2 times them more for FLIP.  Routing is float32 in any precision.
Floor AttentionFloor(const ModelConfig& model, int64_t length, double density,
                     MatmulPrecision precision);

}  // namespace treeformer::bench
