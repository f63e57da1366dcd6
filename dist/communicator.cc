#include "dist/communicator.h"

#include <algorithm>
#include <utility>

namespace treeformer::dist {

Request::Request(std::unique_ptr<Operation> operation, Device device, Recorder& recorder,
                 int64_t place)
    : operation_(std::move(operation)), device_(device), recorder_(&recorder), place_(place) {
  if (!operation_) recorder.Mark(place, Recorder::State::kEnded);
}

Request& Request::operator=(Request&& other) noexcept {
  Wait();
  operation_ = std::move(other.operation_);
  device_ = other.device_;
  recorder_ = other.recorder_;
  place_ = other.place_;
  return *this;
}

bool Request::Test() {
  if (!operation_) return true;
  if (!operation_->Test()) return false;
  operation_.reset();
  recorder_->Mark(place_, Recorder::State::kEnded);
  return true;
}

void Request::Wait() {
  if (!operation_) return;
  operation_->Wait();
  operation_.reset();
  const bool on_host = device_ == Device::kCpu;
  recorder_->Mark(place_, on_host ? Recorder::State::kEnded : Recorder::State::kAwaited);
}

Communicator::Communicator(const Place& place)
    : place_(place),
      own_recorder_(std::make_unique<Recorder>(place.rank)),
      recorder_(*own_recorder_),
      group_(recorder_.AddGroup("world")) {}

Communicator::Communicator(const Place& place, Recorder& recorder, const std::string& name)
    : place_(place), recorder_(recorder), group_(recorder.AddGroup(name)) {}

Communicator::Communicator(Communicator& base)
    : place_(base.place_), recorder_(base.recorder_), group_(base.group_) {}

Request Communicator::Start(const Call& call, cudaStream_t stream) {
  call.Check(rank(), size());
  const int64_t place = recorder_.Begin(group_, call.summary());
  return Request(DoStart(call, stream), call.device(), recorder_, place);
}

std::unique_ptr<Communicator> Communicator::Split(int colour, int key, const std::string& name) {
  CHECK_GE(colour, kNoGroup) << "a colour of group " << name;
  const int64_t place = recorder_.Begin(group_, {.kind = CallKind::kSplit});
  std::unique_ptr<Communicator> part = DoSplit(colour, key, name);
  recorder_.Mark(place, Recorder::State::kEnded);
  return part;
}

// In the order of the pairs (lower rank, higher rank), on all ranks: of the pairs that are not
// connected yet, both ranks of the first one have come to it.
void Communicator::Connect(std::vector<int> peers) {
  std::ranges::sort(peers);
  for (int peer : peers) {
    CHECK(0 <= peer && peer < size() && peer != rank())
        << "rank " << rank() << " of " << size() << " connects to rank " << peer;
    DoConnect(peer);
  }
}

Request Communicator::StartBarrier() { return Start({.kind = CallKind::kBarrier}, nullptr); }

Request Communicator::StartAllReduceSum(Out data, cudaStream_t stream) {
  return Start({.kind = CallKind::kAllReduceSum, .out = data, .in = data}, stream);
}

Request Communicator::StartBroadcast(Out data, int root, cudaStream_t stream) {
  return Start({.kind = CallKind::kBroadcast, .out = data, .peer = root}, stream);
}

Request Communicator::StartReduceScatterSum(Out part, In data, cudaStream_t stream) {
  return Start({.kind = CallKind::kReduceScatterSum, .out = part, .in = data}, stream);
}

Request Communicator::StartAllGather(Out all, In part, cudaStream_t stream) {
  return Start({.kind = CallKind::kAllGather, .out = all, .in = part}, stream);
}

Request Communicator::StartAllToAll(Out received, std::span<const int64_t> received_counts, In sent,
                                    std::span<const int64_t> sent_counts, cudaStream_t stream) {
  return Start({.kind = CallKind::kAllToAll,
                .out = received,
                .in = sent,
                .out_counts = {received_counts.begin(), received_counts.end()},
                .in_counts = {sent_counts.begin(), sent_counts.end()}},
               stream);
}

Request Communicator::StartSend(In data, int to, cudaStream_t stream) {
  return Start({.kind = CallKind::kSend, .in = data, .peer = to}, stream);
}

Request Communicator::StartReceive(Out data, int from, cudaStream_t stream) {
  return Start({.kind = CallKind::kReceive, .out = data, .peer = from}, stream);
}

void Communicator::Sum(std::span<double> values) {
  const std::vector<double> all = AllGather(std::span<const double>(values));
  std::ranges::fill(values, 0.0);
  for (size_t i = 0; i < all.size(); ++i) values[i % values.size()] += all[i];
}

double Communicator::Sum(double value) {
  Sum(std::span(&value, 1));
  return value;
}

double Communicator::Max(double value) {
  const std::vector<double> values = AllGather(value);
  return *std::ranges::max_element(values);
}

std::vector<double> Communicator::AllGather(std::span<const double> values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<double> all(size() * count);
  AllGather(View<double>(all.data(), {size() * count}), View<const double>(values.data(), {count}),
            nullptr);
  return all;
}

}  // namespace treeformer::dist
