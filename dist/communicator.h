#pragma once

// Communicator: the collectives we need, over a group of ranks.  It knows
// contiguous buffers and nothing of models.  A call returns when the result is
// usable by later work on `stream` (in host memory: when it is done).  Every rank
// makes the same calls in the same order.

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "kernels/runtime/context.h"

namespace treeformer::dist {

// An operation under way.  Destroying it waits for its end, as Wait does.
class Request {
 public:
  virtual ~Request() = default;
  virtual bool Test() = 0;  // makes progress; true when done
  // The result is usable by later work on the stream that the operation was started with: a GPU
  // waits, its host does not.  In host memory: the operation is done on return.
  virtual void Wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among the ranks of this machine
  virtual int local_size() const = 0;

  virtual void Barrier() = 0;
  // data = sum over ranks; all ranks hold the same bits afterwards.
  virtual void AllReduceSum(Out data, cudaStream_t stream) = 0;
  // The same, started, after the work given to `stream` so far: `data` may not be touched before
  // the request is done.
  virtual std::unique_ptr<Request> StartAllReduceSum(Out data, cudaStream_t stream) = 0;
  // data of rank `root` reaches every rank.
  virtual void Broadcast(Out data, int root, cudaStream_t stream) = 0;

  // Small host values: sums, maxima, and every rank's own, [size][values] in rank order.
  void Sum(std::span<double> values) {
    const std::vector<double> all = AllGather(std::span<const double>(values));
    std::fill(values.begin(), values.end(), 0.0);
    for (size_t i = 0; i < all.size(); ++i) values[i % values.size()] += all[i];
  }
  double Sum(double value) {
    Sum(std::span(&value, 1));
    return value;
  }
  double Max(double value) {
    const std::vector<double> values = AllGather(value);
    return *std::max_element(values.begin(), values.end());
  }
  std::vector<double> AllGather(double value) { return AllGather(std::span(&value, 1)); }
  virtual std::vector<double> AllGather(std::span<const double> values) = 0;
};

}  // namespace treeformer::dist
