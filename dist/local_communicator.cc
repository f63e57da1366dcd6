#include "dist/local_communicator.h"

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <utility>

namespace treeformer::dist {
namespace {

enum class Kind { kBarrier, kSum, kBroadcast, kGather };

// What a rank asks for.  kGather: data is [size, values] and the rank has filled its own row.
struct Call {
  Kind kind;
  Out data;
  int root = 0;

  friend bool operator==(const Call& a, const Call& b) {
    return a.kind == b.kind && a.root == b.root && a.data.count() == b.data.count() &&
           a.data.dtype() == b.data.dtype();
  }
  friend std::ostream& operator<<(std::ostream& out, const Call& call) {
    constexpr const char* kNames[] = {"barrier", "sum", "broadcast", "gather"};
    return out << kNames[static_cast<int>(call.kind)] << " of " << call.data.count() << " elements";
  }
};

// data of every rank = sum over ranks, in rank order.
template <typename T>
void SumInto(const std::vector<Call>& calls) {
  for (int64_t i = 0; i < calls[0].data.count(); ++i) {
    T sum = static_cast<const T*>(calls[0].data.data())[i];
    for (size_t rank = 1; rank < calls.size(); ++rank) {
      sum += static_cast<const T*>(calls[rank].data.data())[i];
    }
    for (const Call& call : calls) static_cast<T*>(call.data.data())[i] = sum;
  }
}

void Execute(const std::vector<Call>& calls) {
  const Call& first = calls[0];
  const int size = static_cast<int>(calls.size());
  switch (first.kind) {
    case Kind::kBarrier:
      return;
    case Kind::kSum:
      switch (first.data.dtype()) {
        case DType::kFloat32:
          return SumInto<float>(calls);
        case DType::kFloat64:
          return SumInto<double>(calls);
        case DType::kInt32:
          return SumInto<int32_t>(calls);
        default:
          LOG(FATAL) << "no sum of this element type";
      }
    case Kind::kBroadcast:
      for (int rank = 0; rank < size; ++rank) {
        if (rank == first.root || first.data.bytes() == 0) continue;
        std::memcpy(calls[rank].data.data(), calls[first.root].data.data(), first.data.bytes());
      }
      return;
    case Kind::kGather:
      for (int from = 0; from < size; ++from) {
        const Out own = calls[from].data.Rows(from, from + 1);
        for (const Call& call : calls) {
          if (&call == &calls[from]) continue;
          std::memcpy(call.data.Rows(from, from + 1).data(), own.data(), own.bytes());
        }
      }
      return;
  }
}

// The n-th calls of all ranks are one operation; the rank that comes last carries it out.
class Group {
 public:
  explicit Group(int size) : next_(size) {}

  int size() const { return static_cast<int>(next_.size()); }

  // Returns the number of the operation.
  int64_t Post(int rank, const Call& call) {
    std::unique_lock lock(mutex_);
    CHECK_EQ(ended_, 0) << "rank " << rank << " calls " << call << ", but " << why_ended_;
    const int64_t number = next_[rank]++;
    Operation& operation = operations_[number];
    if (operation.arrived == 0) operation.calls.assign(size(), call);
    CHECK(call == operation.calls[0]) << "operation " << number << ": rank " << rank << " calls "
                                      << call << ", others " << operation.calls[0];
    operation.calls[rank] = call;
    if (++operation.arrived < size()) return number;

    lock.unlock();  // all are here: nobody else touches this operation until it is done
    Execute(operation.calls);
    lock.lock();
    operation.done = true;
    done_.notify_all();
    return number;
  }

  bool Test(int64_t number) {
    std::unique_lock lock(mutex_);
    if (!operations_.at(number).done) return false;
    Leave(number);
    return true;
  }

  void Wait(int64_t number) {
    std::unique_lock lock(mutex_);
    Operation& operation = operations_.at(number);
    done_.wait(lock, [&] { return operation.done; });
    Leave(number);
  }

  // Rank `rank` makes no more calls.
  void End(int rank, const std::string& why) {
    std::unique_lock lock(mutex_);
    ++ended_;
    why_ended_ = "rank " + std::to_string(rank) + " has ended: " + why;
    const auto missed = operations_.find(next_[rank]);
    CHECK(missed == operations_.end())
        << "others wait in " << missed->second.calls[0] << ", but " << why_ended_;
  }

 private:
  struct Operation {
    std::vector<Call> calls;  // [rank]
    int arrived = 0;
    int left = 0;
    bool done = false;
  };

  void Leave(int64_t number) {
    if (++operations_.at(number).left == size()) operations_.erase(number);
  }

  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<int64_t> next_;  // [rank]: the number of its next operation
  std::map<int64_t, Operation> operations_;
  int ended_ = 0;  // ranks
  std::string why_ended_;
};

class LocalRequest : public Request {
 public:
  LocalRequest(Group& group, int64_t number) : group_(group), number_(number) {}
  ~LocalRequest() override { Wait(); }

  bool Test() override { return done_ = done_ || group_.Test(number_); }
  void Wait() override {
    if (!std::exchange(done_, true)) group_.Wait(number_);
  }

 private:
  Group& group_;
  const int64_t number_;
  bool done_ = false;
};

class LocalCommunicator : public Communicator {
 public:
  LocalCommunicator(int rank, Group& group) : rank_(rank), group_(group) {}
  explicit LocalCommunicator(std::unique_ptr<Group> group)
      : rank_(0), owned_(std::move(group)), group_(*owned_) {}

  int rank() const override { return rank_; }
  int size() const override { return group_.size(); }
  int local_rank() const override { return rank_; }
  int local_size() const override { return group_.size(); }

  void Barrier() override { Start({Kind::kBarrier, View<double>(nullptr, {0})})->Wait(); }
  void AllReduceSum(Out data, cudaStream_t) override { Start({Kind::kSum, data})->Wait(); }
  std::unique_ptr<Request> StartAllReduceSum(Out data, cudaStream_t) override {
    return Start({Kind::kSum, data});
  }
  void Broadcast(Out data, int root, cudaStream_t) override {
    CHECK(0 <= root && root < size()) << "root " << root << " of " << size() << " ranks";
    Start({Kind::kBroadcast, data, root})->Wait();
  }

  std::vector<double> AllGather(std::span<const double> values) override {
    const auto count = static_cast<int64_t>(values.size());
    std::vector<double> all(size() * count);
    std::copy(values.begin(), values.end(), all.begin() + rank_ * count);
    Start({Kind::kGather, View<double>(all.data(), {size(), count})})->Wait();
    return all;
  }

 private:
  std::unique_ptr<Request> Start(const Call& call) {
    CHECK(call.data.device() == Device::kCpu) << "ranks as threads work on the CPU only";
    return std::make_unique<LocalRequest>(group_, group_.Post(rank_, call));
  }

  const int rank_;
  const std::unique_ptr<Group> owned_;  // by a rank that is alone
  Group& group_;
};

}  // namespace

void RunLocalRanks(int size, const std::function<void(Communicator&)>& work) {
  CHECK_GE(size, 1);
  Group group(size);
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
  return std::make_unique<LocalCommunicator>(std::make_unique<Group>(1));
}

}  // namespace treeformer::dist
