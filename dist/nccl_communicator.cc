#include "dist/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <array>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "dist/device_communicator.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/handle.h"

namespace treeformer::dist {
namespace {

// NCCL's words for an error code, and for what it has met last, such as a GPU's full memory.
std::string NcclErrorString(ncclResult_t code) {
  return std::string(ncclGetErrorString(code)) + ": " + ncclGetLastError(/*comm=*/nullptr);
}

// NCCL's orderly end waits for the other ranks, who do not come where this one fails.
void DestroyNccl(ncclComm_t comm) noexcept {
  if (std::uncaught_exceptions() > 0) {
    NCCL_CHECK(ncclCommAbort(comm));
  } else {
    NCCL_CHECK(ncclCommDestroy(comm));
  }
}

using Nccl = Handle<ncclComm_t, DestroyNccl>;

ncclDataType_t NcclType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kBFloat16:
      return ncclBfloat16;
    case DType::kInt32:
      return ncclInt32;
  }
  LOG(FATAL) << "NCCL has no such element type";
}

// Rank 0's, on every rank.
ncclUniqueId AgreeOnId(Communicator& base) {
  ncclUniqueId id = {};
  if (base.rank() == 0) NCCL_CHECK(ncclGetUniqueId(&id));
  std::array<int32_t, sizeof(id) / sizeof(int32_t)> words;
  static_assert(sizeof(words) == sizeof(id));
  std::memcpy(words.data(), &id, sizeof(id));
  base.Broadcast(View<int32_t>(words.data(), {words.size()}), /*root=*/0, nullptr);
  std::memcpy(&id, words.data(), sizeof(id));
  return id;
}

// Ahead of the compute stream: what it waits for is most often a neighbour.
runtime::Stream MakeUrgentStream() {
  int least = 0, greatest = 0;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest));
  return runtime::Stream(stream);
}

runtime::Event RecordEvent(cudaStream_t stream) {
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(event, stream));
  return runtime::Event(event);
}

void CheckNoError(ncclComm_t comm) {
  ncclResult_t error = ncclSuccess;
  NCCL_CHECK(ncclCommGetAsyncError(comm, &error));
  CHECK(error == ncclSuccess) << "NCCL, during a collective: " << NcclErrorString(error);
}

class NcclRequest : public Request {
 public:
  NcclRequest(ncclComm_t comm, cudaStream_t stream, runtime::Event done)
      : comm_(comm), stream_(stream), done_(std::move(done)) {}
  ~NcclRequest() override {
    if (!ended_) CUDA_CHECK(cudaStreamWaitEvent(stream_, done_.get(), /*flags=*/0));
  }

  bool Test() override {
    if (ended_) return true;
    CheckNoError(comm_);
    const cudaError_t status = cudaEventQuery(done_.get());
    if (status == cudaErrorNotReady) {
      cudaGetLastError();  // it is not left for the next check of a launch
      return false;
    }
    CUDA_CHECK(status);
    return ended_ = true;
  }

  void Wait() override {
    if (std::exchange(ended_, true)) return;
    CheckNoError(comm_);
    CUDA_CHECK(cudaStreamWaitEvent(stream_, done_.get(), /*flags=*/0));
  }

 private:
  const ncclComm_t comm_;
  const cudaStream_t stream_;  // of the caller
  const runtime::Event done_;
  bool ended_ = false;  // as far as later work on stream_ can tell
};

class NcclCommunicator : public DeviceCommunicator {
 public:
  explicit NcclCommunicator(Communicator& base)
      : DeviceCommunicator(base), stream_(MakeUrgentStream()) {
    ncclComm_t comm;
    NCCL_CHECK(ncclCommInitRank(&comm, size(), AgreeOnId(base), rank()));
    comm_ = Nccl(comm);
  }

 private:
  std::unique_ptr<Request> StartSumOnGpu(Out data, cudaStream_t stream) override {
    return Bracket(data, stream, [&] {
      NCCL_CHECK(ncclAllReduce(data.data(), data.data(), data.count(), NcclType(data.dtype()),
                               ncclSum, comm_.get(), stream_.get()));
    });
  }

  void BroadcastOnGpu(Out data, int root, cudaStream_t stream) override {
    CHECK(0 <= root && root < size()) << "root " << root << " of " << size() << " ranks";
    const auto request = Bracket(data, stream, [&] {
      NCCL_CHECK(ncclBroadcast(data.data(), data.data(), data.count(), NcclType(data.dtype()), root,
                               comm_.get(), stream_.get()));
    });
    request->Wait();
  }

  // The one place where the two streams are tied together.
  template <typename Collective>
  std::unique_ptr<Request> Bracket(Out data, cudaStream_t stream, const Collective& collective) {
    const runtime::Event ready = RecordEvent(stream);
    CUDA_CHECK(cudaStreamWaitEvent(stream_.get(), ready.get(), /*flags=*/0));
    if (data.count() > 0) collective();
    return std::make_unique<NcclRequest>(comm_.get(), stream, RecordEvent(stream_.get()));
  }

  runtime::Stream stream_;
  Nccl comm_;
};

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& base) {
  return std::make_unique<NcclCommunicator>(base);
}

}  // namespace treeformer::dist
