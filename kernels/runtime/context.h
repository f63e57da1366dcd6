#pragma once

// Context: where and on which stream an operation runs, and its scratch memory.
// It is the first argument of every operation; there is no global "current
// device".  One Context belongs to one host thread.

#include <functional>
#include <string>
#include <vector>

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/handle.h"
#include "kernels/runtime/scratch.h"
#include "kernels/runtime/view.h"

// The CUDA types by their incomplete names, so that no header needs CUDA.
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct cublasContext* cublasHandle_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;

namespace treeformer {

namespace runtime {

// How the CPU multiplies float32 matrices in linear layers and attention.  Sums are float32.
//   kFloat32    as they are
//   kBFloat16   rounded to bfloat16 first, to nearest, ties to even
enum class MatmulPrecision { kFloat32, kBFloat16 };

// Defined in cuda.cc, or in no_cuda.cc when we build without CUDA.
void DestroyStream(cudaStream_t stream) noexcept;
void DestroyEvent(cudaEvent_t event) noexcept;
void DestroyPinned(char* memory) noexcept;
void DestroyCublas(cublasHandle_t cublas) noexcept;
void DestroyGraph(cudaGraphExec_t graph) noexcept;

using Stream = Handle<cudaStream_t, DestroyStream>;
using Event = Handle<cudaEvent_t, DestroyEvent>;
using Pinned = Handle<char*, DestroyPinned>;  // host memory that the GPU copies from by itself
using Cublas = Handle<cublasHandle_t, DestroyCublas>;
using Graph = Handle<cudaGraphExec_t, DestroyGraph>;  // recorded work of a stream

class Context {
 public:
  static Context Cpu(MatmulPrecision precision = MatmulPrecision::kFloat32) {
    return Context(Device::kCpu, precision);
  }
  // The device of this host thread from now on.  UserError without CUDA, driver, or a GPU `index`
  // that the kernels were compiled for.
  static Context Cuda(int index);
  static int CudaDeviceCount();  // 0 when we build without CUDA
  // The GPUs that this process sees, in the order of their indices, as nvidia-smi -L prints them.
  // Asks the driver only: nothing is done on a GPU.
  static std::vector<std::string> CudaDeviceUuids();

  Device device() const { return device_; }
  MatmulPrecision matmul_precision() const { return matmul_precision_; }
  cudaStream_t stream() const { return stream_.get(); }
  cublasHandle_t cublas() const { return cublas_.get(); }
  Scratch& scratch() { return scratch_; }

  // Does `work` on a GPU as one: what it gives to the stream is recorded, `graph` brought up to
  // date with it or made from it, and given to the stream.  `work` may neither wait, nor take
  // memory that is new, nor copy from or to the host.  On the CPU: work().
  void RunAsGraph(Graph& graph, const std::function<void()>& work);

  // Waits until all work given to the stream is done.  Nothing to do on the CPU.
  void Synchronize();

 private:
  // Pageable host memory goes through two pinned buffers by turns, so that a copy to the GPU does
  // not wait for the work before it; `src` may be overwritten on return.
  struct Staging {
    static constexpr int64_t kBytes = 1 << 22;
    struct Half {
      Pinned memory;
      Event copied;
    };
    Half halves[2];
    int next = 0;
  };
  void CopyToCuda(void* dst, const void* src, int64_t bytes);
  friend void Copy(Context& ctx, Out dst, In src);

  explicit Context(Device device, MatmulPrecision precision = MatmulPrecision::kFloat32)
      : device_(device), matmul_precision_(precision), scratch_(device) {}

  Device device_;
  MatmulPrecision matmul_precision_;
  Stream stream_;  // declared before its users: destroyed after them
  Cublas cublas_;
  Staging staging_;
  Scratch scratch_;
};

// dst = src, either side on either device; the count in elements must agree.  Asynchronous on the
// stream of a CUDA context, done on return on the CPU.
void Copy(Context& ctx, Out dst, In src);
// dst = 0.
void Zero(Context& ctx, Out dst);

}  // namespace runtime

using runtime::Context;
using runtime::Copy;
using runtime::MatmulPrecision;
using runtime::Zero;

}  // namespace treeformer
