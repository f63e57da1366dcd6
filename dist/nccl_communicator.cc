#include "dist/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
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

// NCCL's orderly end waits for the other ranks, which do not come where this one fails.
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

// An id as words that a communicator can carry.
using IdWords = std::array<int32_t, sizeof(ncclUniqueId) / sizeof(int32_t)>;
static_assert(sizeof(IdWords) == sizeof(ncclUniqueId));

View<int32_t> WordsOf(ncclUniqueId& id, IdWords& words) {
  std::memcpy(words.data(), &id, sizeof(id));
  return View<int32_t>(words.data(), {static_cast<int64_t>(words.size())});
}

// Rank 0's, on every rank.
ncclUniqueId AgreeOnId(Communicator& base) {
  ncclUniqueId id = {};
  if (base.rank() == 0) NCCL_CHECK(ncclGetUniqueId(&id));
  IdWords words;
  base.Broadcast(WordsOf(id, words), /*root=*/0, nullptr);
  std::memcpy(&id, words.data(), sizeof(id));
  return id;
}

// The lower rank's, on both.
ncclUniqueId AgreeOnId(Communicator& base, int peer) {
  ncclUniqueId id = {};
  IdWords words;
  if (base.rank() < peer) {
    NCCL_CHECK(ncclGetUniqueId(&id));
    base.Send(WordsOf(id, words), peer, nullptr);
  } else {
    base.Receive(WordsOf(id, words), peer, nullptr);
    std::memcpy(&id, words.data(), sizeof(id));
  }
  return id;
}

Nccl MakeNccl(int size, const ncclUniqueId& id, int rank) {
  ncclComm_t comm;
  NCCL_CHECK(ncclCommInitRank(&comm, size, id, rank));
  return Nccl(comm);
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

class NcclOperation : public Operation {
 public:
  NcclOperation(ncclComm_t comm, cudaStream_t stream, runtime::Event done)
      : comm_(comm), stream_(stream), done_(std::move(done)) {}

  bool Test() override {
    CheckNoError(comm_);
    const cudaError_t status = cudaEventQuery(done_.get());
    if (status == cudaErrorNotReady) {
      cudaGetLastError();  // it is not left for the next check of a launch
      return false;
    }
    CUDA_CHECK(status);
    return true;
  }

  void Wait() override {
    CheckNoError(comm_);
    CUDA_CHECK(cudaStreamWaitEvent(stream_, done_.get(), /*flags=*/0));
  }

 private:
  const ncclComm_t comm_;
  const cudaStream_t stream_;  // of the caller
  const runtime::Event done_;
};

// A communicator of NCCL and the stream that its work is given to, in which the work of all ranks
// of the lane comes in the same order.
struct Lane {
  runtime::Stream stream = MakeUrgentStream();
  Nccl comm;

  // The one place where the two streams are tied together.
  template <typename Work>
  std::unique_ptr<Operation> Bracket(const Call& call, cudaStream_t callers, const Work& work) {
    const runtime::Event ready = RecordEvent(callers);
    CUDA_CHECK(cudaStreamWaitEvent(stream.get(), ready.get(), /*flags=*/0));
    if (call.out.count() > 0 || call.in.count() > 0) work();
    return std::make_unique<NcclOperation>(comm.get(), callers, RecordEvent(stream.get()));
  }
};

class NcclCommunicator : public DeviceCommunicator {
 public:
  template <typename Base>
  explicit NcclCommunicator(Base&& base) : DeviceCommunicator(std::forward<Base>(base)) {
    collectives_.comm = MakeNccl(size(), AgreeOnId(this->base()), rank());
    ids_ = this->base().Split(/*colour=*/0, /*key=*/rank(), name() + ", ids of NCCL");
  }

 private:
  std::unique_ptr<Communicator> Over(std::unique_ptr<Communicator> part) override {
    return std::make_unique<NcclCommunicator>(std::move(part));
  }

  // Both directions at once, for either may be wanted first.
  void DoConnect(int peer) override {
    if (sends_.contains(peer)) return;
    const bool lower = rank() < peer;
    for (std::map<int, Lane>* lanes :
         {lower ? &sends_ : &receives_, lower ? &receives_ : &sends_}) {
      (*lanes)[peer].comm = MakeNccl(/*size=*/2, AgreeOnId(*ids_, peer), lower ? 0 : 1);
    }
  }

  std::unique_ptr<Operation> StartOnGpu(const Call& call, cudaStream_t stream) override {
    if (!call.IsMessage()) {
      return collectives_.Bracket(call, stream, [&] { DoCollective(call); });
    }
    DoConnect(call.peer);
    Lane& lane = (call.kind == CallKind::kSend ? sends_ : receives_).at(call.peer);
    return lane.Bracket(call, stream, [&] { DoMessage(call, lane); });
  }

  void DoMessage(const Call& call, const Lane& lane) const {
    const int peer = rank() < call.peer ? 1 : 0;  // of the two
    const ncclDataType_t type = NcclType(call.dtype());
    if (call.kind == CallKind::kSend) {
      NCCL_CHECK(ncclSend(call.in.data(), call.in.count(), type, peer, lane.comm.get(),
                          lane.stream.get()));
    } else {
      NCCL_CHECK(ncclRecv(call.out.data(), call.out.count(), type, peer, lane.comm.get(),
                          lane.stream.get()));
    }
  }

  void DoCollective(const Call& call) const {
    const ncclComm_t comm = collectives_.comm.get();
    const cudaStream_t stream = collectives_.stream.get();
    const ncclDataType_t type = NcclType(call.dtype());
    const void* const in = call.in.data();
    void* const out = call.out.data();
    const int64_t in_count = call.in.count(), out_count = call.out.count();
    switch (call.kind) {
      case CallKind::kAllReduceSum:
        NCCL_CHECK(ncclAllReduce(in, out, out_count, type, ncclSum, comm, stream));
        break;
      case CallKind::kBroadcast:
        NCCL_CHECK(ncclBroadcast(out, out, out_count, type, call.peer, comm, stream));
        break;
      case CallKind::kReduceScatterSum:
        NCCL_CHECK(ncclReduceScatter(in, out, out_count, type, ncclSum, comm, stream));
        break;
      case CallKind::kAllGather:
        NCCL_CHECK(ncclAllGather(in, out, in_count, type, comm, stream));
        break;
      case CallKind::kAllToAll:
        DoAllToAll(call);
        break;
      default:
        LOG(FATAL) << "NCCL has no " << call.summary();
    }
  }

  // One group, so that no message waits for another.
  void DoAllToAll(const Call& call) const {
    const ncclComm_t comm = collectives_.comm.get();
    const cudaStream_t stream = collectives_.stream.get();
    const ncclDataType_t type = NcclType(call.dtype());
    const int64_t element = SizeOf(call.dtype());
    const char* in = static_cast<const char*>(call.in.data());
    char* out = static_cast<char*>(call.out.data());
    NCCL_CHECK(ncclGroupStart());
    for (int peer = 0; peer < size(); ++peer) {
      const int64_t sent = call.in_counts[peer], received = call.out_counts[peer];
      if (sent > 0) NCCL_CHECK(ncclSend(in, sent, type, peer, comm, stream));
      if (received > 0) NCCL_CHECK(ncclRecv(out, received, type, peer, comm, stream));
      in += sent * element;
      out += received * element;
    }
    NCCL_CHECK(ncclGroupEnd());
  }

  Lane collectives_;
  std::map<int, Lane> sends_, receives_;  // [peer]
  std::unique_ptr<Communicator> ids_;     // carries the ids of lanes to be, and nothing else
};

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& base) {
  return std::make_unique<NcclCommunicator>(base);
}

}  // namespace treeformer::dist
