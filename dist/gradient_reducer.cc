#include "dist/gradient_reducer.h"

#include <algorithm>
#include <iterator>

namespace treeformer::dist {

GradientReducer::GradientReducer(Communicator& communicator, Out gradients, int64_t bucket_bytes)
    : communicator_(communicator),
      gradients_(gradients.Reshaped({gradients.count()})),
      bucket_elements_(std::max<int64_t>(1, bucket_bytes / SizeOf(gradients.dtype()))) {
  CHECK_GT(bucket_bytes, 0);
  Reset();
}

// Bucket 0 is the last `bucket_elements_` of the buffer, the final bucket is what remains in front.
int64_t GradientReducer::BucketOf(int64_t element) const {
  return (gradients_.count() - 1 - element) / bucket_elements_;
}

Out GradientReducer::Bucket(int64_t bucket) const {
  const int64_t end = gradients_.count() - bucket * bucket_elements_;
  return gradients_.Rows(std::max<int64_t>(0, end - bucket_elements_), end);
}

void GradientReducer::Ready(int64_t begin, int64_t end, cudaStream_t stream) {
  CHECK(0 <= begin && begin <= end && end <= gradients_.count())
      << "gradients [" << begin << ", " << end << ") of " << gradients_.count();
  if (begin == end) return;
  CHECK(finished_.empty() || stream == stream_) << "gradients are reported from two streams";
  stream_ = stream;
  Report(begin, end);
  for (int64_t rest = end; rest > begin;) {
    const int64_t bucket = BucketOf(rest - 1);
    const int64_t front = gradients_.count() - (bucket + 1) * bucket_elements_;
    const int64_t part_begin = std::max(begin, front);
    missing_[bucket] -= rest - part_begin;
    rest = part_begin;
  }
  while (started_ < bucket_count() && missing_[started_] == 0) {
    pending_.push_back(communicator_.StartAllReduceSum(Bucket(started_++), stream));
  }
  Poll();
}

void GradientReducer::Wait(cudaStream_t stream) {
  CHECK_EQ(started_, bucket_count()) << "gradients not reported before Wait: " << missing_[started_]
                                     << " of bucket " << started_ << " of " << bucket_count();
  CHECK(finished_.empty() || stream == stream_) << "another stream than the reports'";
  for (Request& request : pending_) request.Wait();
  Reset();
}

void GradientReducer::Report(int64_t begin, int64_t end) {
  const auto next = finished_.lower_bound(begin);
  const bool overlaps_next = next != finished_.end() && next->first < end;
  const bool overlaps_previous = next != finished_.begin() && std::prev(next)->second > begin;
  CHECK(!overlaps_next && !overlaps_previous)
      << "gradients [" << begin << ", " << end << ") are reported a second time";
  if (next != finished_.end() && next->first == end) {
    end = next->second;
    finished_.erase(next);
  }
  const auto after = finished_.lower_bound(begin);
  if (after != finished_.begin() && std::prev(after)->second == begin) {
    std::prev(after)->second = end;
  } else {
    finished_.emplace(begin, end);
  }
}

// Open MPI 4.1 moves a message only inside a call; a test of one request moves all of them.
void GradientReducer::Poll() {
  while (!pending_.empty() && pending_.front().Test()) pending_.pop_front();
}

void GradientReducer::Reset() {
  const int64_t count = gradients_.count();
  finished_.clear();
  pending_.clear();
  started_ = 0;
  missing_.assign((count + bucket_elements_ - 1) / bucket_elements_, bucket_elements_);
  if (count % bucket_elements_ != 0) missing_.back() = count % bucket_elements_;
}

}  // namespace treeformer::dist
