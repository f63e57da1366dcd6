#pragma once

// Call: one collective or message as a rank asks for it.  Every Communicator carries out these.
//
//   kind                out            in             result, n = size of the group
//   kBarrier            -              -              all ranks have come
//   kAllReduceSum       [k]            the same       out = sum over ranks of in
//   kBroadcast          [k]            -              out = out of rank `peer`
//   kReduceScatterSum   [k]            [n * k]        out = sum over ranks of in[rank * k, + k)
//   kAllGather          [n * k]        [k]            out[r * k, + k) = in of rank r
//   kAllToAll           [sum counts]   [sum counts]   out holds, rank by rank, what each sends here
//   kSend               -              [k]            to rank `peer`
//   kReceive            [k]            -              from rank `peer`
//   kSplit              -              -              the group is cut into groups

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "kernels/runtime/view.h"

namespace treeformer::dist {

enum class CallKind {
  kBarrier,
  kAllReduceSum,
  kBroadcast,
  kReduceScatterSum,
  kAllGather,
  kAllToAll,
  kSend,
  kReceive,
  kSplit
};

// What is said of a call; it prints as "all-reduce of 4,194,304 float32".
struct CallSummary {
  CallKind kind = CallKind::kBarrier;
  DType dtype = DType::kFloat32;
  int64_t count = 0;  // elements of the larger buffer
  int peer = -1;

  int64_t bytes() const { return count * SizeOf(dtype); }
  friend bool operator==(const CallSummary&, const CallSummary&) = default;
};
std::ostream& operator<<(std::ostream& out, const CallSummary& call);

// "4,194,304"
std::string WithSeparators(int64_t count);

struct Call {
  CallKind kind = CallKind::kBarrier;
  Out out{nullptr, DType::kFloat32, {0}};
  In in{nullptr, DType::kFloat32, {0}};
  int peer = -1;
  // [rank] the elements of an all-to-all that come from it, and that go to it.
  std::vector<int64_t> out_counts{};
  std::vector<int64_t> in_counts{};

  DType dtype() const { return kind == CallKind::kSend ? in.dtype() : out.dtype(); }
  Device device() const { return kind == CallKind::kSend ? in.device() : out.device(); }
  bool IsSum() const {
    return kind == CallKind::kAllReduceSum || kind == CallKind::kReduceScatterSum;
  }
  bool IsMessage() const { return kind == CallKind::kSend || kind == CallKind::kReceive; }
  CallSummary summary() const;
  // Fatal unless the buffers, counts and `peer` fit a group of `size` ranks.
  void Check(int rank, int size) const;
};

}  // namespace treeformer::dist
