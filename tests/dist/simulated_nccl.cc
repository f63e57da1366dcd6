// The functions of NCCL, between ranks that are threads.

#include <glog/logging.h>

#include <algorithm>
#include <cstring>

#include "tests/dist/simulated_world.h"
#include "tests/kernels/dense_testing.h"

struct ncclComm {
  int group, size, rank;
  int64_t calls = 0;
  std::map<int, int64_t> sent = {}, received = {};  // messages to and from each rank
};

namespace treeformer::simulated {
namespace {

// One rank's part in a message.
struct Post {
  ncclComm_t comm;
  bool sends;
  int peer;
  void* data;
  size_t bytes;
};

// The messages between ncclGroupStart and ncclGroupEnd of this thread, and their stream.
thread_local int t_group_depth = 0;
thread_local std::vector<Post> t_posts;
thread_local cudaStream_t t_post_stream = nullptr;

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

// out of the given ranks [count] = the sum of all ranks' in[begin, + count).
template <typename T>
void SumInto(const Meeting& meeting, size_t begin, size_t count, int first, int last) {
  for (size_t i = 0; i < count; ++i) {
    double sum = 0;
    for (const auto& [rank, call] : meeting.calls) {
      sum += Widen(static_cast<const T*>(call.in)[begin + i]);
    }
    for (int rank = first; rank <= last; ++rank) {
      static_cast<T*>(meeting.calls.at(rank).out)[i] = Narrow<T>(sum);
    }
  }
}

void MoveBytes(void* out, const void* in, size_t bytes) {
  if (out != in && bytes > 0) std::memcpy(out, in, bytes);
}

template <typename T>
void Execute(const Meeting& meeting) {
  const Call& first = meeting.calls.at(0);
  const int size = static_cast<int>(meeting.calls.size());
  for (const auto& [rank, call] : meeting.calls) {
    CHECK(call.kind == first.kind && call.count == first.count && call.type == first.type &&
          call.root == first.root)
        << "rank " << rank << " disagrees with rank 0";
  }
  Counts& counts = TheWorld().counts;
  switch (first.kind) {
    case Kind::kSum:
      ++counts.sums;
      return SumInto<T>(meeting, 0, first.count, 0, size - 1);
    case Kind::kReduceScatter:
      ++counts.sums;
      for (int rank = 0; rank < size; ++rank) {
        SumInto<T>(meeting, rank * first.count, first.count, rank, rank);
      }
      return;
    case Kind::kBroadcast:
      ++counts.broadcasts;
      for (const auto& [rank, call] : meeting.calls) {
        MoveBytes(call.out, meeting.calls.at(first.root).in, first.count * sizeof(T));
      }
      return;
    case Kind::kAllGather:
      for (const auto& [from, sent] : meeting.calls) {
        for (const auto& [to, call] : meeting.calls) {
          MoveBytes(static_cast<T*>(call.out) + from * first.count, sent.in,
                    first.count * sizeof(T));
        }
      }
      return;
  }
}

void ExecuteAs(ncclDataType_t type, const Meeting& meeting) {
  if (type == ncclFloat32) return Execute<float>(meeting);
  if (type == ncclFloat64) return Execute<double>(meeting);
  if (type == ncclBfloat16) return Execute<BFloat16>(meeting);
  CHECK_EQ(type, ncclInt32) << "an element type that the simulation has not";
  Execute<int32_t>(meeting);
}

size_t BytesOf(ncclDataType_t type) {
  return type == ncclFloat64 ? 8 : type == ncclBfloat16 ? 2 : 4;
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

Message& NextMessage(World& world, const Post& post) {
  ncclComm& comm = *post.comm;
  if (post.sends) {
    return world.messages[{comm.group, comm.rank, post.peer, comm.sent[post.peer]++}];
  }
  return world.messages[{comm.group, post.peer, comm.rank, comm.received[post.peer]++}];
}

void Come(Message& message, const Post& post) {
  if (post.sends) {
    message.in = post.data;
    message.in_bytes = post.bytes;
    message.sent = true;
  } else {
    message.out = post.data;
    message.out_bytes = post.bytes;
    message.received = true;
  }
  if (!message.sent || !message.received) return;
  CHECK_EQ(message.in_bytes, message.out_bytes) << "bytes of a message, and of the buffer for it";
  MoveBytes(message.out, message.in, message.in_bytes);
}

// The messages of a group go on side by side; the stream stays in it until all have met.
void GivePosts() {
  World& world = TheWorld();
  std::lock_guard lock(world.mutex);
  std::vector<std::pair<Message*, Post>> parts;
  for (const Post& post : t_posts) parts.emplace_back(&NextMessage(world, post), post);
  t_posts.clear();
  if (parts.empty()) return;
  Give(t_post_stream, Always, [parts] {
    for (const auto& [message, post] : parts) Come(*message, post);
  });
  const auto all_met = [parts] {
    return std::ranges::all_of(
        parts, [](const auto& part) { return part.first->sent && part.first->received; });
  };
  Give(t_post_stream, all_met, [] {});
}

ncclResult_t AddPost(cudaStream_t stream, const Post& post) {
  CHECK(t_posts.empty() || t_post_stream == stream) << "a group on two streams";
  CHECK(0 <= post.peer && post.peer < post.comm->size);
  t_post_stream = stream;
  t_posts.push_back(post);
  if (t_group_depth == 0) GivePosts();
  return ncclSuccess;
}

}  // namespace
}  // namespace treeformer::simulated

namespace simulated = treeformer::simulated;
using simulated::TheWorld;

extern "C" {

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
  std::lock_guard lock(TheWorld().mutex);
  ++TheWorld().counts.made;
  *comm = new ncclComm{.group = group, .size = size, .rank = rank};
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
  return simulated::Collective(comm, stream, {simulated::Kind::kSum, in, out, count, type});
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  CHECK(in == out);
  return simulated::Collective(comm, stream,
                               {simulated::Kind::kBroadcast, in, out, count, type, root});
}

ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type,
                               ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  CHECK(operation == ncclSum);
  return simulated::Collective(comm, stream,
                               {simulated::Kind::kReduceScatter, in, out, count, type});
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return simulated::Collective(comm, stream, {simulated::Kind::kAllGather, in, out, count, type});
}

ncclResult_t ncclSend(const void* in, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return simulated::AddPost(stream, {comm, /*sends=*/true, peer, const_cast<void*>(in),
                                     count * simulated::BytesOf(type)});
}

ncclResult_t ncclRecv(void* out, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return simulated::AddPost(stream,
                            {comm, /*sends=*/false, peer, out, count * simulated::BytesOf(type)});
}

ncclResult_t ncclGroupStart() {
  ++simulated::t_group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (--simulated::t_group_depth == 0) simulated::GivePosts();
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = TheWorld().lost ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t) { return "a simulated error"; }
const char* ncclGetLastError(ncclComm_t) { return "the connection is lost"; }

}  // extern "C"
