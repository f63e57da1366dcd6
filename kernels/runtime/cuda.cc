// The CUDA half of the runtime.
//
// Memory comes from cudaMalloc: Buffers are made when a model is, and Scratch keeps its blocks, so
// that training steps allocate nothing.

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <sstream>

#include "kernels/base/user_error.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/gpu_copy.h"
#include "kernels/runtime/probe.h"

namespace treeformer::runtime {
namespace {

bool OnHost(Device device) { return device == Device::kCpu; }

Event MakeEvent() {
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

// GPU-01234567-89ab-cdef-0123-456789abcdef
std::string FormatUuid(const cudaUUID_t& uuid) {
  std::ostringstream text;
  text << "GPU" << std::hex << std::setfill('0');
  for (int i = 0; i < 16; ++i) {
    const bool begins_group = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
    text << (begins_group ? "-" : "") << std::setw(2) << int{static_cast<uint8_t>(uuid.bytes[i])};
  }
  return text.str();
}

// Makes the device current, or says in one sentence why it cannot be used.
void UseDevice(int index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();  // a failure is told below, not by the next check
  if (status == cudaErrorInsufficientDriver) {
    throw UserError(Sentence("no NVIDIA driver, or one too old for CUDA ", CUDART_VERSION / 1000,
                             ".", CUDART_VERSION % 1000 / 10, ", is on this machine"));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    throw UserError("this machine has no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it");
  }
  if (status != cudaSuccess) {
    throw UserError(
        Sentence("the GPUs of this machine cannot be used: ", cudaGetErrorString(status)));
  }
  if (index < 0 || index >= count) {
    throw UserError(
        Sentence("there is no GPU ", index, ": this machine shows ", count, ", numbered from 0"));
  }
  CUDA_CHECK(cudaSetDevice(index));
  if (HasKernelsForDevice()) return;
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  throw UserError(Sentence("GPU ", index, ", ", properties.name, ", has compute capability ",
                           properties.major, ".", properties.minor,
                           ", for which this program was not compiled; see "
                           "CMAKE_CUDA_ARCHITECTURES"));
}

}  // namespace

void DestroyStream(cudaStream_t stream) noexcept { CUDA_CHECK(cudaStreamDestroy(stream)); }
void DestroyEvent(cudaEvent_t event) noexcept { CUDA_CHECK(cudaEventDestroy(event)); }
void DestroyPinned(char* memory) noexcept { CUDA_CHECK(cudaFreeHost(memory)); }
void DestroyCublas(cublasHandle_t cublas) noexcept { CUBLAS_CHECK(cublasDestroy(cublas)); }
void DestroyGraph(cudaGraphExec_t graph) noexcept { CUDA_CHECK(cudaGraphExecDestroy(graph)); }

int Context::CudaDeviceCount() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess;
  cudaGetLastError();
  return found ? count : 0;
}

std::vector<std::string> Context::CudaDeviceUuids() {
  std::vector<std::string> uuids;
  for (int index = 0; index < CudaDeviceCount(); ++index) {
    cudaDeviceProp properties;
    CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    uuids.push_back(FormatUuid(properties.uuid));
  }
  return uuids;
}

Context Context::Cuda(int index) {
  UseDevice(index);
  Context context(Device::kCuda);
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  context.stream_ = Stream(stream);
  cublasHandle_t cublas;
  CUBLAS_CHECK(cublasCreate(&cublas));
  context.cublas_ = Cublas(cublas);
  CUBLAS_CHECK(cublasSetStream(cublas, stream));
  for (Staging::Half& half : context.staging_.halves) {
    void* memory;
    CUDA_CHECK(cudaMallocHost(&memory, Staging::kBytes));
    half.memory = Pinned(static_cast<char*>(memory));
    half.copied = MakeEvent();
  }
  return context;
}

void Context::RunAsGraph(Graph& graph, const std::function<void()>& work) {
  if (OnHost(device_)) return work();
#ifdef SYNC_KERNELS
  throw UserError(
      "--cuda_graphs cannot record steps of a build with SYNC_KERNELS, which waits "
      "for every kernel");
#endif
  CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  work();
  cudaGraph_t recorded;
  CUDA_CHECK(cudaStreamEndCapture(stream(), &recorded));
  cudaGraphExecUpdateResultInfo difference;
  if (graph.get() == nullptr ||
      cudaGraphExecUpdate(graph.get(), recorded, &difference) != cudaSuccess) {
    cudaGetLastError();  // another graph than before: it is made anew
    cudaGraphExec_t made;
    CUDA_CHECK(cudaGraphInstantiate(&made, recorded, /*flags=*/0));
    graph = Graph(made);
  }
  CUDA_CHECK(cudaGraphDestroy(recorded));
  CUDA_CHECK(cudaGraphLaunch(graph.get(), stream()));
}

void Context::Synchronize() {
  if (!OnHost(device_)) CUDA_CHECK(cudaStreamSynchronize(stream()));
}

void* AllocateCuda(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    throw UserError(Sentence("the GPU's memory is full: ", bytes >> 20, " MiB are needed and ",
                             free >> 20, " of ", total >> 20,
                             " MiB are free; a smaller micro-batch or model needs less"));
  }
  CUDA_CHECK(status);
  return data;
}

int64_t FreeCudaMemory() {
  size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(free);
}

void ZeroCuda(void* data, int64_t bytes) {
  CUDA_CHECK(cudaMemset(data, 0, bytes));
  CUDA_CHECK(cudaStreamSynchronize(cudaStreamLegacy));
}

void FreeCuda(void* data) noexcept { CUDA_CHECK(cudaFree(data)); }

void Context::CopyToCuda(void* dst, const void* src, int64_t bytes) {
  for (int64_t begin = 0; begin < bytes; begin += Staging::kBytes) {
    const int64_t count = std::min(Staging::kBytes, bytes - begin);
    Staging::Half& half = staging_.halves[staging_.next];
    staging_.next ^= 1;
    CUDA_CHECK(cudaEventSynchronize(half.copied.get()));  // at once before the first record
    std::memcpy(half.memory.get(), static_cast<const char*>(src) + begin, count);
    CUDA_CHECK(cudaMemcpyAsync(static_cast<char*>(dst) + begin, half.memory.get(), count,
                               cudaMemcpyHostToDevice, stream()));
    CUDA_CHECK(cudaEventRecord(half.copied.get(), stream()));
  }
}

void CopyFromCuda(Context& ctx, Out dst, In src) {
  CUDA_CHECK(cudaMemcpyAsync(dst.data(), src.data(), dst.bytes(), cudaMemcpyDefault, ctx.stream()));
}

void ZeroOnCuda(Context& ctx, Out dst) {
  CUDA_CHECK(cudaMemsetAsync(dst.data(), 0, dst.bytes(), ctx.stream()));
}

}  // namespace treeformer::runtime
