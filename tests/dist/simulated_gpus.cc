#include "tests/dist/simulated_gpus.h"

#include <glog/logging.h>
#include <nccl.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kernels/dense_testing.h"

// The libraries' own names for their handles.
struct CUstream_st {
  bool for_communication = false;
  struct Piece {
    std::function<bool()> may_run;
    std::function<void()> run;
  };
  std::deque<Piece> pieces;
  int64_t given = 0;
  int64_t done = 0;
};

struct CUevent_st {
  cudaStream_t stream = nullptr;  // null: never recorded
  int64_t position = 0;           // over when so many pieces of the stream are done

  bool IsOver() const { return stream == nullptr || stream->done >= position; }
};

struct ncclComm {
  int group, size, rank;
  int64_t calls = 0;
};

namespace treeformer::simulated {
namespace {

// One rank's part in a collective.
struct Call {
  void* data;
  size_t count;
  ncclDataType_t type;
  int root;  // -1: a sum
};

// The n-th calls of all ranks; who comes last carries them out.
struct Meeting {
  std::map<int, Call> calls;  // of each rank that has come
};

struct World {
  std::mutex mutex;
  Order order = Order::kRandom;
  std::mt19937 random;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::map<std::pair<int, int64_t>, Meeting> meetings;  // of a group and a number
  int groups = 0;
  bool lost = false;
  Counts counts;
};

World& TheWorld() {
  static World world;
  return world;
}

// As CUDA's: of this thread, until somebody asks.
thread_local cudaError_t t_last_error = cudaSuccess;

bool Always() { return true; }

void Give(cudaStream_t stream, std::function<bool()> may_run, std::function<void()> run) {
  CHECK(stream != nullptr);
  stream->pieces.push_back({std::move(may_run), std::move(run)});
  ++stream->given;
}

cudaStream_t MakeStream(bool for_communication) {
  World& world = TheWorld();
  std::lock_guard lock(world.mutex);
  world.streams.push_back(std::make_unique<CUstream_st>());
  world.streams.back()->for_communication = for_communication;
  return world.streams.back().get();
}

// One piece of one stream; false where none may run.  The mutex is held.
bool Step(World& world) {
  std::vector<CUstream_st*> favoured, others;
  for (const auto& stream : world.streams) {
    if (stream->pieces.empty() || !stream->pieces.front().may_run()) continue;
    const bool first = world.order == Order::kRandom ||
                       stream->for_communication == (world.order == Order::kCommunicationFirst);
    (first ? favoured : others).push_back(stream.get());
  }
  const std::vector<CUstream_st*>& candidates = favoured.empty() ? others : favoured;
  if (candidates.empty()) return false;
  CUstream_st* const stream = candidates[world.random() % candidates.size()];
  stream->pieces.front().run();
  stream->pieces.pop_front();
  ++stream->done;
  return true;
}

template <typename T>
double Widen(T x) {
  return x;
}
template <>
double Widen(BFloat16 x) {
  return ToFloat32(x);
}

template <typename T>
T Narrow(double x) {
  return static_cast<T>(x);
}
template <>
BFloat16 Narrow(double x) {
  const float rounded = dense_testing::AsBFloat16(static_cast<float>(x));
  return {static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded) >> 16)};
}

template <typename T>
void SumInto(const Meeting& meeting) {
  for (size_t i = 0; i < meeting.calls.at(0).count; ++i) {
    double sum = 0;
    for (const auto& [rank, call] : meeting.calls) sum += Widen(static_cast<T*>(call.data)[i]);
    for (const auto& [rank, call] : meeting.calls) static_cast<T*>(call.data)[i] = Narrow<T>(sum);
  }
}

template <typename T>
void Execute(const Meeting& meeting) {
  const Call& first = meeting.calls.at(0);
  for (const auto& [rank, call] : meeting.calls) {
    CHECK(call.count == first.count && call.type == first.type && call.root == first.root)
        << "rank " << rank << " disagrees with rank 0";
  }
  if (first.root < 0) {
    ++TheWorld().counts.sums;
    return SumInto<T>(meeting);
  }
  ++TheWorld().counts.broadcasts;
  const void* const sent = meeting.calls.at(first.root).data;
  for (const auto& [rank, call] : meeting.calls) {
    if (rank != first.root) std::memcpy(call.data, sent, first.count * sizeof(T));
  }
}

void ExecuteAs(ncclDataType_t type, const Meeting& meeting) {
  if (type == ncclFloat32) return Execute<float>(meeting);
  if (type == ncclFloat64) return Execute<double>(meeting);
  if (type == ncclBfloat16) return Execute<BFloat16>(meeting);
  CHECK_EQ(type, ncclInt32) << "an element type that the simulation has not";
  Execute<int32_t>(meeting);
}

// A stream stays in a collective until all ranks have come.
ncclResult_t Collective(ncclComm_t comm, cudaStream_t stream, const Call& call) {
  World& world = TheWorld();
  std::lock_guard lock(world.mutex);
  Meeting& meeting = world.meetings[{comm->group, comm->calls++}];
  const size_t size = comm->size;
  Give(stream, Always, [&meeting, call, rank = comm->rank, size] {
    meeting.calls[rank] = call;
    if (meeting.calls.size() == size) ExecuteAs(call.type, meeting);
  });
  Give(
      stream, [&meeting, size] { return meeting.calls.size() == size; }, [] {});
  return ncclSuccess;
}

}  // namespace

void Reset(Order order, unsigned seed) {
  World& world = TheWorld();
  world.order = order;
  world.random.seed(seed);
  world.streams.clear();
  world.events.clear();
  world.meetings.clear();
  world.lost = false;
  world.counts = {};
}

cudaStream_t MakeComputeStream() { return MakeStream(/*for_communication=*/false); }

// With the check that follows every launch.
void Enqueue(cudaStream_t stream, std::function<void()> work) {
  CHECK_EQ(t_last_error, cudaSuccess) << "an error is left from an earlier call";
  std::lock_guard lock(TheWorld().mutex);
  Give(stream, Always, std::move(work));
}

void Synchronize(cudaStream_t stream) {
  for (;; std::this_thread::yield()) {
    std::lock_guard lock(TheWorld().mutex);
    if (stream->pieces.empty()) return;
    Step(TheWorld());
  }
}

Counts counts() {
  std::lock_guard lock(TheWorld().mutex);
  return TheWorld().counts;
}

void LoseConnection() { TheWorld().lost = true; }

}  // namespace treeformer::simulated

namespace simulated = treeformer::simulated;
using simulated::TheWorld;

extern "C" {

// --- the CUDA runtime
// -----------------------------------------------------------------------------
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  CHECK_EQ(flags, static_cast<unsigned>(cudaStreamNonBlocking));
  CHECK_EQ(priority, -5);
  *stream = simulated::MakeStream(/*for_communication=*/true);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  std::lock_guard lock(TheWorld().mutex);
  TheWorld().events.push_back(std::make_unique<CUevent_st>());
  *event = TheWorld().events.back().get();
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  std::lock_guard lock(TheWorld().mutex);
  *event = {stream, stream->given};
  return cudaSuccess;
}

// The record that the event has now counts, not a later one.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  std::lock_guard lock(TheWorld().mutex);
  simulated::Give(
      stream, [record = *event] { return record.IsOver(); }, [] {});
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  std::lock_guard lock(TheWorld().mutex);
  simulated::Step(TheWorld());
  if (event->IsOver()) return cudaSuccess;
  return simulated::t_last_error = cudaErrorNotReady;
}

cudaError_t cudaGetLastError() { return std::exchange(simulated::t_last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t) { return "a simulated error"; }

// --- NCCL
// -----------------------------------------------------------------------------------------
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::lock_guard lock(TheWorld().mutex);
  std::memset(id, 0x5a, sizeof(*id));
  const int group = ++TheWorld().groups;
  std::memcpy(id->internal + sizeof(*id) - sizeof(group), &group, sizeof(group));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  CHECK_EQ(id.internal[0], 0x5a);
  int group;
  std::memcpy(&group, id.internal + sizeof(id) - sizeof(group), sizeof(group));
  *comm = new ncclComm{group, size, rank};
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  std::lock_guard lock(TheWorld().mutex);
  ++TheWorld().counts.destroyed;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  std::lock_guard lock(TheWorld().mutex);
  ++TheWorld().counts.aborted;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  CHECK(in == out && operation == ncclSum);
  return simulated::Collective(comm, stream, {out, count, type, /*root=*/-1});
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  CHECK(in == out);
  return simulated::Collective(comm, stream, {out, count, type, root});
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = TheWorld().lost ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t) { return "a simulated error"; }
const char* ncclGetLastError(ncclComm_t) { return "the connection is lost"; }

}  // extern "C"
