// The CUDA half of the runtime.

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/check.h"
#include "kernels/runtime/context.h"

namespace runtime {
namespace {

bool OnHost(Device device) { return device == Device::kCpu; }

}  // namespace

void DestroyStream(cudaStream_t stream) noexcept { CUDA_CHECK(cudaStreamDestroy(stream)); }
void DestroyCublas(cublasHandle_t cublas) noexcept { CUBLAS_CHECK(cublasDestroy(cublas)); }

int Context::CudaDeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Context Context::Cuda(int index) {
  CUDA_CHECK(cudaSetDevice(index));
  Context context(Device::kCuda);
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  context.stream_ = Stream(stream);
  cublasHandle_t cublas;
  CUBLAS_CHECK(cublasCreate(&cublas));
  context.cublas_ = Cublas(cublas);
  CUBLAS_CHECK(cublasSetStream(cublas, stream));
  return context;
}

void Context::Synchronize() {
  if (!OnHost(device_)) CUDA_CHECK(cudaStreamSynchronize(stream()));
}

void* AllocateCuda(int64_t bytes) {
  void* data = nullptr;
  CUDA_CHECK(cudaMalloc(&data, bytes));
  return data;
}

void FreeCuda(void* data) noexcept { CUDA_CHECK(cudaFree(data)); }

void Copy(Context& ctx, Out dst, In src) {
  CHECK_EQ(dst.count(), src.count());
  CHECK(dst.dtype() == src.dtype());
  if (dst.count() == 0) return;
  if (OnHost(ctx.device()) && OnHost(dst.device()) && OnHost(src.device())) {
    std::memcpy(dst.data(), src.data(), dst.bytes());
    return;
  }
  CUDA_CHECK(cudaMemcpyAsync(dst.data(), src.data(), dst.bytes(), cudaMemcpyDefault, ctx.stream()));
  // A CPU context has no stream of its own: the default one, waited for.
  if (OnHost(ctx.device())) CUDA_CHECK(cudaStreamSynchronize(ctx.stream()));
}

void Zero(Context& ctx, Out dst) {
  if (dst.count() == 0) return;
  if (OnHost(dst.device())) {
    std::memset(dst.data(), 0, dst.bytes());
    return;
  }
  CUDA_CHECK(cudaMemsetAsync(dst.data(), 0, dst.bytes(), ctx.stream()));
  if (OnHost(ctx.device())) CUDA_CHECK(cudaStreamSynchronize(ctx.stream()));
}

}  // namespace runtime
