#pragma once

// Recorder: the last collectives and messages of one rank, for the report of a hang.
//
// The world communicator owns it, and all groups split from it write here: a call is entered when
// it starts and marked when it ends.  Calls of a group are numbered from 0.  Ranks that started the
// same calls have the same numbers, so the rank whose number is behind is the one that others wait
// for.  A call costs two short critical sections and no allocation.  Any thread may ask for the
// description while the rank waits.

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "dist/call.h"

namespace treeformer::dist {

class Recorder {
 public:
  static constexpr int kKept = 256;  // calls

  // A group of ranks, from the point of view of this rank.
  struct Group {
    std::string name;
    int64_t next = 0;  // the number of its next call
  };

  enum class State {
    kStarted,
    kAwaited,  // on a GPU: later work of the caller's stream waits for it, the host does not know
    kEnded
  };

  explicit Recorder(int rank) : rank_(rank) {}
  Recorder(const Recorder&) = delete;

  // It lives as long as the recorder.
  Group& AddGroup(const std::string& name);

  // Returns the place of the call, for Mark.
  int64_t Begin(Group& group, const CallSummary& call);
  void Mark(int64_t place, State state);

  // One line for each call under way, such as
  //   rank 3: all-reduce of 4,194,304 float32 (16,777,216 bytes) in group data, number 812,
  //   layer 5, started, not ended
  // and one for the last call that was started, where it has ended.
  std::string Describe() const;
  // The same for all calls that are kept, the oldest first.
  std::string DescribeAll() const;

  // Calls that this thread's rank starts while it lives belong to `layer`.
  class InLayer {
   public:
    InLayer(Recorder& recorder, int layer);
    InLayer(const InLayer&) = delete;
    ~InLayer();

   private:
    Recorder& recorder_;
    const int before_;
  };

 private:
  struct Entry {
    const Group* group = nullptr;
    CallSummary call;
    int64_t number = 0;
    int layer = -1;
    State state = State::kEnded;
  };

  int SetLayer(int layer);  // returns the one before
  std::string Lines(bool all) const;
  std::string Line(const Entry& entry) const;

  const int rank_;  // in the world
  mutable std::mutex mutex_;
  std::deque<Group> groups_;
  std::array<Entry, kKept> entries_;  // a ring: call i is at i % kKept
  int64_t begun_ = 0;                 // calls
  int layer_ = -1;
};

}  // namespace treeformer::dist
