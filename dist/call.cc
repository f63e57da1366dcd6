#include "dist/call.h"

#include <algorithm>
#include <numeric>
#include <ostream>

namespace treeformer::dist {
namespace {

const char* NameOf(CallKind kind) {
  switch (kind) {
    case CallKind::kBarrier:
      return "barrier";
    case CallKind::kAllReduceSum:
      return "all-reduce";
    case CallKind::kBroadcast:
      return "broadcast";
    case CallKind::kReduceScatterSum:
      return "reduce-scatter";
    case CallKind::kAllGather:
      return "all-gather";
    case CallKind::kAllToAll:
      return "all-to-all";
    case CallKind::kSend:
      return "send";
    case CallKind::kReceive:
      return "receive";
    case CallKind::kSplit:
      return "split";
  }
  LOG(FATAL) << "no such kind of call";
}

const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt32:
      return "int32";
  }
  LOG(FATAL) << "no such element type";
}

void CheckCounts(const std::vector<int64_t>& counts, int64_t buffer, int size) {
  CHECK_EQ(std::ssize(counts), size) << "an all-to-all has a count for each rank";
  CHECK(std::ranges::all_of(counts, [](int64_t count) { return count >= 0; }));
  CHECK_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), buffer)
      << "the counts of an all-to-all, and the elements of its buffer";
}

}  // namespace

std::string WithSeparators(int64_t count) {
  std::string digits = std::to_string(count);
  for (auto end = std::ssize(digits) - 3; end > 0; end -= 3) digits.insert(end, ",");
  return digits;
}

std::ostream& operator<<(std::ostream& out, const CallSummary& call) {
  out << NameOf(call.kind);
  if (call.kind == CallKind::kBarrier || call.kind == CallKind::kSplit) return out;
  out << " of " << WithSeparators(call.count) << ' ' << NameOf(call.dtype);
  if (call.peer >= 0)
    out << (call.kind == CallKind::kSend ? " to" : " from") << " rank " << call.peer;
  return out;
}

CallSummary Call::summary() const {
  return {kind, dtype(), std::max(out.count(), in.count()), peer};
}

void Call::Check(int rank, int size) const {
  const bool two_buffers = kind == CallKind::kReduceScatterSum || kind == CallKind::kAllGather ||
                           kind == CallKind::kAllToAll;
  if (two_buffers) {
    CHECK(out.dtype() == in.dtype() && out.device() == in.device())
        << summary() << ": its two buffers are of different types, or on different devices";
  }
  if (IsSum() && device() == Device::kCpu) {
    CHECK(dtype() != DType::kBFloat16) << summary() << ": sums of bfloat16 are made on GPUs only";
  }
  switch (kind) {
    case CallKind::kReduceScatterSum:
      CHECK_EQ(in.count(), size * out.count()) << summary();
      return;
    case CallKind::kAllGather:
      CHECK_EQ(out.count(), size * in.count()) << summary();
      return;
    case CallKind::kAllToAll:
      CheckCounts(out_counts, out.count(), size);
      CheckCounts(in_counts, in.count(), size);
      return;
    case CallKind::kBroadcast:
      CHECK(0 <= peer && peer < size) << "root " << peer << " of " << size << " ranks";
      return;
    case CallKind::kSend:
    case CallKind::kReceive:
      CHECK(0 <= peer && peer < size && peer != rank)
          << summary() << " on rank " << rank << " of " << size;
      return;
    default:
      return;
  }
}

}  // namespace treeformer::dist
