#include "dist/local_group.h"

#include <cstring>
#include <numeric>
#include <sstream>

namespace treeformer::dist {
namespace {

using Calls = std::map<int, Call>;  // [rank]

// Each of outs [count] = sum over ranks of in[begin, + count).
template <typename T>
void SumPart(const Calls& calls, int64_t begin, int64_t count, const std::vector<Out>& outs) {
  std::vector<const T*> ins;
  for (const auto& [rank, call] : calls) ins.push_back(static_cast<const T*>(call.in.data()));
  for (int64_t i = 0; i < count; ++i) {
    T sum = ins[0][begin + i];
    for (size_t rank = 1; rank < ins.size(); ++rank) sum += ins[rank][begin + i];
    for (Out out : outs) static_cast<T*>(out.data())[i] = sum;
  }
}

void SumPart(const Calls& calls, int64_t begin, int64_t count, const std::vector<Out>& outs) {
  switch (outs[0].dtype()) {
    case DType::kFloat32:
      return SumPart<float>(calls, begin, count, outs);
    case DType::kFloat64:
      return SumPart<double>(calls, begin, count, outs);
    case DType::kInt32:
      return SumPart<int32_t>(calls, begin, count, outs);
    default:
      LOG(FATAL) << "no sum of this element type";
  }
}

void ReduceScatter(const Calls& calls) {
  for (const auto& [rank, call] : calls) {
    const int64_t count = call.out.count();
    SumPart(calls, rank * count, count, {call.out});
  }
}

void AllReduce(const Calls& calls) {
  std::vector<Out> outs;
  for (const auto& [rank, call] : calls) outs.push_back(call.out);
  SumPart(calls, /*begin=*/0, outs[0].count(), outs);
}

// Elements of `from`, to `out` from its element `begin` on.
void Move(Out out, int64_t begin, In from) {
  char* const to = static_cast<char*>(out.data()) + begin * SizeOf(out.dtype());
  if (from.count() > 0 && to != from.data()) std::memcpy(to, from.data(), from.bytes());
}

void Broadcast(const Calls& calls) {
  for (const auto& [rank, call] : calls) Move(call.out, 0, calls.at(call.peer).out);
}

void AllGather(const Calls& calls) {
  for (const auto& [from, sent] : calls) {
    for (const auto& [to, call] : calls) Move(call.out, from * sent.in.count(), sent.in);
  }
}

void AllToAll(const Calls& calls) {
  for (const auto& [from, sent] : calls) {
    const In flat = sent.in.Reshaped({sent.in.count()});
    int64_t begin = 0;
    for (const auto& [to, call] : calls) {
      const int64_t end = begin + sent.in_counts[to];
      CHECK_EQ(call.out_counts[from], end - begin)
          << "what rank " << to << " expects from rank " << from << ", and what that sends";
      const auto counts = call.out_counts.begin();
      Move(call.out, std::accumulate(counts, counts + from, int64_t{0}), flat.Rows(begin, end));
      begin = end;
    }
  }
}

void Execute(const Calls& calls) {
  const Call& first = calls.begin()->second;
  switch (first.kind) {
    case CallKind::kAllReduceSum:
      return AllReduce(calls);
    case CallKind::kBroadcast:
      return Broadcast(calls);
    case CallKind::kReduceScatterSum:
      return ReduceScatter(calls);
    case CallKind::kAllGather:
      return AllGather(calls);
    case CallKind::kAllToAll:
      return AllToAll(calls);
    case CallKind::kSend:
      return Move(calls.rbegin()->second.out, 0, first.in);
    case CallKind::kReceive:
      return Move(first.out, 0, calls.rbegin()->second.in);
    default:
      return;
  }
}

// In an all-to-all each pair has counts of its own.
bool Agree(const CallSummary& a, const CallSummary& b) {
  if (a.dtype != b.dtype) return false;
  if (a.kind == CallKind::kSend || a.kind == CallKind::kReceive) return a.count == b.count;
  if (a.kind == CallKind::kAllToAll) return a.kind == b.kind;
  return a == b;
}

}  // namespace

class LocalGroup::Part : public Operation {
 public:
  Part(LocalGroup& group, const Key& key) : group_(group), key_(key) {}
  bool Test() override { return group_.Test(key_); }
  void Wait() override { group_.Wait(key_); }

 private:
  LocalGroup& group_;
  const Key key_;
};

LocalGroup::LocalGroup(int size, const std::string& name) : name_(name), next_(size) {}

std::string LocalGroup::Describe(const Key& key) const {
  std::ostringstream text;
  text << "group " << name_ << ", ";
  if (key.from < 0) {
    text << "collective " << key.number;
  } else {
    text << "message " << key.number << " from rank " << key.from << " to rank " << key.to;
  }
  return text.str();
}

LocalGroup::Key LocalGroup::NextKey(int rank, const Call& call) {
  if (call.kind == CallKind::kSend) {
    return {rank, call.peer, next_sent_[{rank, call.peer}]++};
  }
  if (call.kind == CallKind::kReceive) {
    return {call.peer, rank, next_received_[{call.peer, rank}]++};
  }
  return {.number = next_[rank]++};
}

std::vector<int> LocalGroup::RanksOf(const Key& key) const {
  if (key.from >= 0) return {key.from, key.to};
  std::vector<int> all(size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

void LocalGroup::CheckThatAllCanCome(const Key& key, const Meeting& meeting) const {
  for (int rank : RanksOf(key)) {
    const auto ended = ended_.find(rank);
    CHECK(ended == ended_.end() || meeting.calls.contains(rank))
        << Describe(key) << ": rank " << meeting.calls.begin()->first << " waits in "
        << meeting.calls.begin()->second.summary() << ", but rank " << rank
        << " has ended: " << ended->second;
  }
}

std::unique_ptr<Operation> LocalGroup::Post(int rank, const Call& call) {
  std::unique_lock lock(mutex_);
  const Key key = NextKey(rank, call);
  Meeting& meeting = meetings_[key];
  meeting.calls[rank] = call;
  const auto& [other, first] = *meeting.calls.begin();
  CHECK(Agree(call.summary(), first.summary()))
      << Describe(key) << ": rank " << rank << " calls " << call.summary() << ", rank " << other
      << ' ' << first.summary();
  const auto& [last_rank, last] = *meeting.calls.rbegin();
  CHECK(Agree(call.summary(), last.summary()))
      << Describe(key) << ": rank " << rank << " calls " << call.summary() << ", rank " << last_rank
      << ' ' << last.summary();
  if (meeting.calls.size() < RanksOf(key).size()) {
    CheckThatAllCanCome(key, meeting);
  } else {
    lock.unlock();  // all are here: nobody else touches this meeting until it is done
    Execute(meeting.calls);
    lock.lock();
    meeting.done = true;
    done_.notify_all();
  }
  return std::make_unique<Part>(*this, key);
}

bool LocalGroup::Test(const Key& key) {
  std::unique_lock lock(mutex_);
  if (!meetings_.at(key).done) return false;
  Leave(key);
  return true;
}

void LocalGroup::Wait(const Key& key) {
  std::unique_lock lock(mutex_);
  Meeting& meeting = meetings_.at(key);
  done_.wait(lock, [&] { return meeting.done; });
  Leave(key);
}

void LocalGroup::Leave(const Key& key) {
  Meeting& meeting = meetings_.at(key);
  if (++meeting.left == meeting.calls.size()) meetings_.erase(key);
}

LocalGroup& LocalGroup::Subgroup(SubgroupId id, const std::vector<int>& members,
                                 const std::string& name) {
  std::unique_lock lock(mutex_);
  Child& child = children_[id];
  if (!child.group) {
    child.group = std::make_unique<LocalGroup>(static_cast<int>(members.size()), name);
    child.members = members;
  }
  return *child.group;
}

void LocalGroup::End(int rank, const std::string& why) {
  std::unique_lock lock(mutex_);
  if (!ended_.emplace(rank, why).second) return;
  for (const auto& [key, meeting] : meetings_) {
    if (!meeting.done) CheckThatAllCanCome(key, meeting);
  }
  for (const auto& [id, child] : children_) {
    for (size_t i = 0; i < child.members.size(); ++i) {
      if (child.members[i] == rank) child.group->End(static_cast<int>(i), why);
    }
  }
}

}  // namespace treeformer::dist
