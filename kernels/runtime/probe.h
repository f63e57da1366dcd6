#pragma once

// Whether the kernels of this program run on the current device: probe.cu.

namespace runtime {

bool HasKernelsForDevice();

}  // namespace runtime
