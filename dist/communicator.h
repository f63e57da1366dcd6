#pragma once

// Communicator: the collectives and messages of a named group of ranks.  It knows contiguous
// buffers and nothing of models.  Buffers of any element type are moved; sums are made of float32,
// float64 and int32, on GPUs of bfloat16 too.
//
// Every call has two forms.  StartX returns at once, and does not wait for another rank; its
// buffers may not be touched before the Request is done.  X is StartX and Wait: the result is
// usable by later work on `stream` (in host memory: it is there).  Buffers on a GPU are read and
// written in the order of `stream`.
//
// Order.  All ranks of a group start the same collectives in the same order.  Messages from one
// rank to another in one group meet in the order in which their sender and their receiver start
// them; neither other pairs, nor the opposite direction, nor collectives matter to that.  Ranks
// that are together in several groups start the collectives of these in the same order.
//
// No deadlock.  Calls that are all started before the first of them is waited for end, in whatever
// order sends and receives were started.  A blocking Send may wait for its Receive: two ranks that
// both send first must start one.  On GPUs the first message between two ranks connects them and
// does wait for the other's first message with this one; Connect does it beforehand.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dist/call.h"
#include "dist/recorder.h"
#include "kernels/runtime/context.h"

namespace treeformer::dist {

// How an implementation goes on with a call under way.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual bool Test() = 0;  // makes progress; true when done
  virtual void Wait() = 0;
};

// A call under way.  Destroying it waits for its end, as Wait does.
class Request {
 public:
  Request(Request&& other) = default;
  Request& operator=(Request&& other) noexcept;
  ~Request() { Wait(); }

  bool Test();  // makes progress; true when done
  // The result is usable by later work on the stream that the call was started with: a GPU waits,
  // its host does not.  In host memory: the call is done on return.
  void Wait();

 private:
  friend class Communicator;
  Request(std::unique_ptr<Operation> operation, Device device, Recorder& recorder, int64_t place);

  std::unique_ptr<Operation> operation_;  // null: done
  Device device_;
  Recorder* recorder_;
  int64_t place_;
};

class Communicator {
 public:
  static constexpr int kNoGroup = -1;

  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;

  const std::string& name() const { return group_.name; }  // of the group, such as "data"
  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  int local_rank() const { return place_.local_rank; }  // among the ranks of this machine
  int local_size() const { return place_.local_size; }
  Recorder& recorder() { return recorder_; }  // of this rank, in all of its groups

  // The group of the ranks that give the same colour, ordered by key, then by rank here; null for
  // the colour kNoGroup.  Collective.  This communicator must outlive it.
  std::unique_ptr<Communicator> Split(int colour, int key, const std::string& name);
  // Makes the first messages with these ranks start without waiting.  Each of them calls it too.
  void Connect(std::vector<int> peers);

  Request StartBarrier();
  // data = sum over ranks; all ranks hold the same bits afterwards.
  Request StartAllReduceSum(Out data, cudaStream_t stream);
  // data of rank `root` reaches every rank.
  Request StartBroadcast(Out data, int root, cudaStream_t stream);
  // part [k] = sum over ranks of the rank-th of the `size` parts of data [size * k], or in place:
  // part may be this very part of data, whose others are then undefined afterwards.
  Request StartReduceScatterSum(Out part, In data, cudaStream_t stream);
  // all [size * k] = the parts [k] of all ranks in their order; part may be its own place in all.
  Request StartAllGather(Out all, In part, cudaStream_t stream);
  // `sent` holds sent_counts[r] elements for each rank r, one rank after another, and `received`
  // gets received_counts[r] from each; ranks agree on the counts of each pair.
  Request StartAllToAll(Out received, std::span<const int64_t> received_counts, In sent,
                        std::span<const int64_t> sent_counts, cudaStream_t stream);
  // To and from another rank, which calls the other one with as many elements of the same type.
  Request StartSend(In data, int to, cudaStream_t stream);
  Request StartReceive(Out data, int from, cudaStream_t stream);

  void Barrier() { StartBarrier().Wait(); }
  void AllReduceSum(Out data, cudaStream_t stream) { StartAllReduceSum(data, stream).Wait(); }
  void Broadcast(Out data, int root, cudaStream_t stream) {
    StartBroadcast(data, root, stream).Wait();
  }
  void ReduceScatterSum(Out part, In data, cudaStream_t stream) {
    StartReduceScatterSum(part, data, stream).Wait();
  }
  void AllGather(Out all, In part, cudaStream_t stream) {
    StartAllGather(all, part, stream).Wait();
  }
  void AllToAll(Out received, std::span<const int64_t> received_counts, In sent,
                std::span<const int64_t> sent_counts, cudaStream_t stream) {
    StartAllToAll(received, received_counts, sent, sent_counts, stream).Wait();
  }
  void Send(In data, int to, cudaStream_t stream) { StartSend(data, to, stream).Wait(); }
  void Receive(Out data, int from, cudaStream_t stream) { StartReceive(data, from, stream).Wait(); }

  // Small host values: sums in rank order, maxima, and every rank's own, [size][values] in rank
  // order.
  void Sum(std::span<double> values);
  double Sum(double value);
  double Max(double value);
  std::vector<double> AllGather(double value) { return AllGather(std::span(&value, 1)); }
  std::vector<double> AllGather(std::span<const double> values);

 protected:
  struct Place {
    int rank = 0;
    int size = 1;
    int local_rank = 0;
    int local_size = 1;
  };

  // The world, with a recorder of its own.
  explicit Communicator(const Place& place);
  // A group split from others, whose recorder is theirs.
  Communicator(const Place& place, Recorder& recorder, const std::string& name);
  // The same group as `base`, carried out in another way.
  explicit Communicator(Communicator& base);

  // A call of the same group, of which this communicator's own has been recorded already.
  static std::unique_ptr<Operation> StartOn(Communicator& base, const Call& call,
                                            cudaStream_t stream) {
    return base.DoStart(call, stream);
  }
  static std::unique_ptr<Communicator> SplitOn(Communicator& base, int colour, int key,
                                               const std::string& name) {
    return base.DoSplit(colour, key, name);
  }

 private:
  // What an implementation does.  `call` has been checked and recorded; null: it is done already.
  virtual std::unique_ptr<Operation> DoStart(const Call& call, cudaStream_t stream) = 0;
  virtual std::unique_ptr<Communicator> DoSplit(int colour, int key, const std::string& name) = 0;
  virtual void DoConnect(int /*peer*/) {}

  Request Start(const Call& call, cudaStream_t stream);

  const Place place_;
  const std::unique_ptr<Recorder> own_recorder_;  // of the world
  Recorder& recorder_;
  Recorder::Group& group_;
};

}  // namespace treeformer::dist
