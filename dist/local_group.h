#pragma once

// LocalGroup: where the threads of one group of ranks meet.
//
// The n-th collectives of all ranks are one operation, and so are the n-th send from one rank to
// another and the n-th receive there from it.  The rank that comes last carries it out.  Sums are
// taken in rank order.
//
// Calls that disagree, and a rank that ends while another waits for it, are fatal.

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

class LocalGroup {
 public:
  LocalGroup(int size, const std::string& name);

  int size() const { return static_cast<int>(next_.size()); }

  // A checked call of `rank`, on buffers in host memory.
  std::unique_ptr<Operation> Post(int rank, const Call& call);

  // The group of the ranks `members` of this one, in its order; all of them ask with the same `id`.
  // It lives as long as this one.
  using SubgroupId = std::pair<int64_t, int>;  // of a split, of a colour
  LocalGroup& Subgroup(SubgroupId id, const std::vector<int>& members, const std::string& name);

  // Rank `rank` makes no more calls, neither here nor in subgroups; no more than a repetition where
  // it was said before.
  void End(int rank, const std::string& why);

 private:
  // A collective has no `from` and `to`.
  struct Key {
    int from = -1, to = -1;
    int64_t number = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Meeting {
    std::map<int, Call> calls;  // [rank that has come]
    size_t left = 0;            // ranks that have seen its end
    bool done = false;
  };
  struct Child {
    std::unique_ptr<LocalGroup> group;
    std::vector<int> members;  // [rank there] -> rank here
  };
  class Part;  // of a rank, in a meeting

  Key NextKey(int rank, const Call& call);
  std::vector<int> RanksOf(const Key& key) const;
  // The mutex is held.
  void CheckThatAllCanCome(const Key& key, const Meeting& meeting) const;
  std::string Describe(const Key& key) const;
  bool Test(const Key& key);
  void Wait(const Key& key);
  void Leave(const Key& key);

  const std::string name_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<int64_t> next_;                         // [rank] the number of its next collective
  std::map<std::pair<int, int>, int64_t> next_sent_;  // [from, to] of the next message
  std::map<std::pair<int, int>, int64_t> next_received_;
  std::map<Key, Meeting> meetings_;
  std::map<int, std::string> ended_;  // [rank] why
  std::map<SubgroupId, Child> children_;
};

}  // namespace treeformer::dist
