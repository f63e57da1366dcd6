#pragma once

// What an attention operator cannot do without: floating-point operations of its pairs, and bytes
// that must be read or written once.  T = bytes of one tensor [B, n, H, e].
//
//   pairs = density B H n^2
//   FULL, TF  forward 4 e pairs, 4 T            backward 10 e pairs, and for FLIP 8 e pairs more
//             (its probes, at the same density), for DENSE 4 e B H n^2;  8 T
//   TC        forward 4 T (q and k are routed)  backward 7 T; no pairs
//   routing   2 T
//   layer     and four projections, 2 B n d^2 each, twice that backward; its bytes are not counted

#include <cstdint>

#include "core/model_config.h"
#include "launcher/bench/timing/attention_module.h"

namespace treeformer::bench {

struct Work {
  double flops = 0, bytes = 0;

  friend Work operator+(const Work& a, const Work& b) {
    return {a.flops + b.flops, a.bytes + b.bytes};
  }
};

struct OperatorWork {
  Work forward, backward, route;
  Work layer_forward, layer_backward;
};

OperatorWork WorkOf(const ModuleSize& size, const AttentionConfig& attention, double density,
                    int64_t element_bytes);

}  // namespace treeformer::bench
