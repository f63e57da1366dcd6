// Streams and events, and the functions of the CUDA runtime on them.

#include "tests/dist/simulated_gpus.h"

#include <glog/logging.h>

#include <thread>

#include "tests/dist/simulated_world.h"

namespace treeformer::simulated {

World& TheWorld() {
  static World world;
  return world;
}

void Give(cudaStream_t stream, std::function<bool()> may_run, std::function<void()> run) {
  CHECK(stream != nullptr);
  stream->pieces.push_back({std::move(may_run), std::move(run)});
  ++stream->given;
  TheWorld().progress = std::chrono::steady_clock::now();
}

namespace {

// As CUDA's: of this thread, until somebody asks.
thread_local cudaError_t t_last_error = cudaSuccess;

cudaStream_t MakeStream(bool for_communication) {
  World& world = TheWorld();
  std::lock_guard lock(world.mutex);
  world.streams.push_back(std::make_unique<CUstream_st>());
  world.streams.back()->for_communication = for_communication;
  return world.streams.back().get();
}

// One piece of one stream, where one may run.  Ranks that are late may still give work to a stream,
// but not for long.
void Step(World& world) {
  const auto now = std::chrono::steady_clock::now();
  std::vector<CUstream_st*> favoured, others;
  for (const auto& stream : world.streams) {
    if (stream->pieces.empty() || !stream->pieces.front().may_run()) continue;
    const bool first = world.order == Order::kRandom ||
                       stream->for_communication == (world.order == Order::kCommunicationFirst);
    (first ? favoured : others).push_back(stream.get());
  }
  const std::vector<CUstream_st*>& candidates = favoured.empty() ? others : favoured;
  if (candidates.empty()) {
    CHECK(now - world.progress < std::chrono::seconds(20)) << "deadlock: no stream goes on";
    return;
  }
  world.progress = now;
  CUstream_st* const stream = candidates[world.random() % candidates.size()];
  stream->pieces.front().run();
  stream->pieces.pop_front();
  ++stream->done;
}

}  // namespace

void Reset(Order order, unsigned seed) {
  World& world = TheWorld();
  world.order = order;
  world.random.seed(seed);
  world.streams.clear();
  world.events.clear();
  world.meetings.clear();
  world.messages.clear();
  world.lost = false;
  world.counts = {};
  world.progress = std::chrono::steady_clock::now();
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

void SetConnectionLost(bool lost) { TheWorld().lost = lost; }

}  // namespace treeformer::simulated

namespace simulated = treeformer::simulated;
using simulated::TheWorld;

extern "C" {

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

}  // extern "C"
