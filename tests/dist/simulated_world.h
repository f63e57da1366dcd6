#pragma once

// What the simulated CUDA runtime and the simulated NCCL have in common: streams, events, and the
// meetings of ranks.  All of it is read and written with the world's mutex held.

#include <nccl.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "tests/dist/simulated_gpus.h"

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

namespace treeformer::simulated {

enum class Kind { kSum, kBroadcast, kReduceScatter, kAllGather };

// One rank's part in a collective.
struct Call {
  Kind kind;
  const void* in;
  void* out;
  size_t count;  // elements, of a rank's part
  ncclDataType_t type;
  int root = 0;  // of a broadcast
};

// The n-th calls of all ranks; the rank that comes last carries them out.
struct Meeting {
  std::map<int, Call> calls;  // of each rank that has come
};

// A message, which its sender and its receiver come to.
struct Message {
  const void* in = nullptr;
  void* out = nullptr;
  size_t in_bytes = 0, out_bytes = 0;
  bool sent = false, received = false;
};

// All of it; one for the process.
struct World {
  std::mutex mutex;
  Order order = Order::kRandom;
  std::mt19937 random;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::map<std::pair<int, int64_t>, Meeting> meetings;  // of a group and a number
  std::map<std::array<int64_t, 4>, Message> messages;   // of a group, from, to, a number
  int groups = 0;
  bool lost = false;
  Counts counts;
  std::chrono::steady_clock::time_point progress;  // of some stream, or of a rank
};

World& TheWorld();

inline bool Always() { return true; }
// Work for the end of a stream.
void Give(cudaStream_t stream, std::function<bool()> may_run, std::function<void()> run);

}  // namespace treeformer::simulated
