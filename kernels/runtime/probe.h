#pragma once

// Whether the kernels of this program run on the current device: probe.cu.

namespace treeformer::runtime {

bool HasKernelsForDevice();

}  // namespace treeformer::runtime
