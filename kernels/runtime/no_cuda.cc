// The CUDA half of the runtime when we build without CUDA.

#include "kernels/base/user_error.h"
#include "kernels/runtime/gpu_copy.h"

namespace treeformer::runtime {

void DestroyStream(cudaStream_t) noexcept {}
void DestroyEvent(cudaEvent_t) noexcept {}
void DestroyPinned(char*) noexcept {}
void DestroyCublas(cublasHandle_t) noexcept {}
void DestroyGraph(cudaGraphExec_t) noexcept {}
int Context::CudaDeviceCount() { return 0; }
std::vector<std::string> Context::CudaDeviceUuids() { return {}; }
Context Context::Cuda(int) { throw UserError("a GPU is asked for, of a build without CUDA"); }
void Context::RunAsGraph(Graph&, const std::function<void()>& work) { work(); }
void Context::Synchronize() {}
void* AllocateCuda(int64_t) { LOG(FATAL) << "built without CUDA"; }
void ZeroCuda(void*, int64_t) { LOG(FATAL) << "built without CUDA"; }
void FreeCuda(void*) noexcept {}
int64_t FreeCudaMemory() { LOG(FATAL) << "built without CUDA"; }
void Context::CopyToCuda(void*, const void*, int64_t) { LOG(FATAL) << "built without CUDA"; }
void CopyFromCuda(Context&, Out, In) { LOG(FATAL) << "built without CUDA"; }
void ZeroOnCuda(Context&, Out) { LOG(FATAL) << "built without CUDA"; }

}  // namespace treeformer::runtime
