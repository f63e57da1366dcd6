#include "dist/local_communicator.h"

#include <algorithm>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dist/local_group.h"

namespace treeformer::dist {
namespace {

class LocalCommunicator : public Communicator {
 public:
  // A rank of the world.
  LocalCommunicator(int rank, LocalGroup& group)
      : Communicator(PlaceIn(group, rank)), in_world_(true), group_(group) {}
  // A rank that is alone.
  explicit LocalCommunicator(std::unique_ptr<LocalGroup> group)
      : Communicator(Place{}), in_world_(true), owned_(std::move(group)), group_(*owned_) {}
  LocalCommunicator(int rank, LocalGroup& group, Recorder& recorder, const std::string& name)
      : Communicator(PlaceIn(group, rank), recorder, name), in_world_(false), group_(group) {}

  // An exception is better told by the end of the world.
  ~LocalCommunicator() override {
    if (!in_world_ && std::uncaught_exceptions() == 0) {
      group_.End(rank(), "it has given the group up");
    }
  }

 private:
  static Place PlaceIn(const LocalGroup& group, int rank) {
    return {rank, group.size(), rank, group.size()};
  }

  std::unique_ptr<Operation> DoStart(const Call& call, cudaStream_t) override {
    CHECK(call.device() == Device::kCpu) << "ranks as threads work on the CPU only";
    return group_.Post(rank(), call);
  }

  std::unique_ptr<Communicator> DoSplit(int colour, int key, const std::string& name) override {
    const int64_t split = splits_++;
    std::vector<int32_t> mine = {colour, key}, all(2 * size());
    StartOn(*this,
            {.kind = CallKind::kAllGather,
             .out = View<int32_t>(all.data(), {2 * size()}),
             .in = View<int32_t>(mine.data(), {2})},
            nullptr)
        ->Wait();
    if (colour == kNoGroup) return nullptr;
    std::vector<int> members;
    for (int other = 0; other < size(); ++other) {
      if (all[2 * other] == colour) members.push_back(other);
    }
    std::ranges::stable_sort(members, {}, [&](int other) { return all[2 * other + 1]; });
    const auto place = std::ranges::find(members, rank()) - members.begin();
    return std::make_unique<LocalCommunicator>(
        static_cast<int>(place), group_.Subgroup({split, colour}, members, name), recorder(), name);
  }

  const bool in_world_;
  const std::unique_ptr<LocalGroup> owned_;  // by a rank that is alone
  LocalGroup& group_;
  int64_t splits_ = 0;
};

}  // namespace

void RunLocalRanks(int size, const std::function<void(Communicator&)>& work) {
  CHECK_GE(size, 1);
  LocalGroup group(size, "world");
  std::vector<std::exception_ptr> thrown(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      LocalCommunicator communicator(rank, group);
      std::string why = "its work is done";
      try {
        work(communicator);
      } catch (const std::exception& error) {
        thrown[rank] = std::current_exception();
        why = error.what();
      }
      group.End(rank, why);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : thrown) {
    if (error) std::rethrow_exception(error);
  }
}

std::unique_ptr<Communicator> MakeSingleRank() {
  return std::make_unique<LocalCommunicator>(std::make_unique<LocalGroup>(1, "world"));
}

}  // namespace treeformer::dist
