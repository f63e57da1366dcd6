#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/runtime/probe.h"

namespace treeformer::runtime {
namespace {

KERNEL(device::kWarpThreads) ProbeKernel() {}

}  // namespace

bool HasKernelsForDevice() {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, ProbeKernel);
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();  // it is not left for the next check
    return false;
  }
  CUDA_CHECK(status);
  return true;
}

}  // namespace treeformer::runtime
