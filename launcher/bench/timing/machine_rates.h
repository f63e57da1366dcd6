#pragma once

// What this machine reaches: the rates that those of the kernels are held against.

#include <cstdint>

#include "kernels/runtime/context.h"

namespace treeformer::bench {

struct MachineRates {
  double copy_bytes_per_second = 0;    // read and written
  double matmul_flops_per_second = 0;  // in the device's ActivationDType
};

// The rates of a copy of `copy_bytes` on the device, and of a product [size, size] of two matrices.
MachineRates MeasureMachineRates(Context& ctx, int64_t copy_bytes, int64_t size);

}  // namespace treeformer::bench
