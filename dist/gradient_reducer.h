#pragma once

// GradientReducer: sums the gradients over ranks while the backward pass still runs.
//
// The buffer of all gradients is cut, from its back, into buckets of fixed size.  The model reports
// finished ranges; a bucket whose elements are all finished is all-reduced at once, after the
// buckets behind it, so every rank starts them in the same order and the order of each sum does not
// depend on time.  Reports in the order of the backward pass, from the back of the buffer to its
// front, give the most overlap; any order is right.  With several micro-batches, only the last one
// reports.
//
//   model.Backward(ctx, [&](Range r) { reducer.Ready(r.begin, r.end, ctx.stream()); });
//   reducer.Wait(ctx.stream());   // now the gradients are the sums

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

class GradientReducer {
 public:
  // `gradients` and the communicator must outlive this.
  GradientReducer(Communicator& communicator, Out gradients, int64_t bucket_bytes);

  // Elements [begin, end) are finished by the work given to `stream` so far; one stream for all.
  void Ready(int64_t begin, int64_t end, cudaStream_t stream = nullptr);
  // Later work on `stream`, that of the reports, finds the sums (on the CPU: done on return); and
  // makes ready for the next step.  Fatal unless every element was reported exactly once.
  void Wait(cudaStream_t stream);

 private:
  int64_t bucket_count() const { return static_cast<int64_t>(missing_.size()); }
  int64_t BucketOf(int64_t element) const;
  Out Bucket(int64_t bucket) const;
  void Report(int64_t begin, int64_t end);  // checks that it is new
  void Poll();
  void Reset();

  Communicator& communicator_;
  const Out gradients_;  // [n]
  const int64_t bucket_elements_;
  std::map<int64_t, int64_t> finished_;  // begin -> end of the reported ranges, joined
  std::vector<int64_t> missing_;         // [bucket]: elements not yet reported
  int64_t started_ = 0;                  // buckets
  cudaStream_t stream_ = nullptr;        // of this step's reports
  std::deque<Request> pending_;
};

}  // namespace treeformer::dist
