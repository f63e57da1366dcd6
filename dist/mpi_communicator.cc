#include "dist/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/runtime/check.h"

namespace treeformer::dist {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 30;  // elements in one call: MPI counts in int
constexpr int kTag = 0;                          // each group has a communicator of its own

// As MPI moves it; bfloat16 is never summed.
MPI_Datatype MpiType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return MPI_FLOAT;
    case DType::kFloat64:
      return MPI_DOUBLE;
    case DType::kBFloat16:
      return MPI_UINT16_T;
    case DType::kInt32:
      return MPI_INT32_T;
  }
  LOG(FATAL) << "MPI has no such element type";
}

// A buffer of all ranks, which cannot be cut into pieces that MPI can count.
int CountOf(In data) {
  CHECK_LE(data.count(), kMaxCount) << "elements in one call of MPI";
  return static_cast<int>(data.count());
}

// The parts that MPI was asked for, and the memory that it reads meanwhile.
class MpiOperation : public Operation {
 public:
  bool Test() override {
    int done = 0;
    MPI_CHECK(MPI_Testall(count(), parts_.data(), &done, statuses()));
    if (done != 0) Finish();
    return done != 0;
  }
  // A part that is done is null, and MPI does not wait for it again.
  void Wait() override {
    MPI_CHECK(MPI_Waitall(count(), parts_.data(), statuses()));
    Finish();
  }

  MPI_Request* NewPart() { return &parts_.emplace_back(MPI_REQUEST_NULL); }
  // Counts, and where each rank's elements begin.
  std::pair<const int*, const int*> Keep(const std::vector<int64_t>& counts) {
    std::vector<int>& kept = arrays_.emplace_back(counts.begin(), counts.end());
    std::vector<int>& begins = arrays_.emplace_back(counts.size());
    std::exclusive_scan(kept.begin(), kept.end(), begins.begin(), 0);
    return {kept.data(), begins.data()};
  }
  // MPI's result, which reaches `out` in the end.
  void* Stage(Out out) {
    target_ = out;
    staged_.resize(out.bytes());
    return staged_.data();
  }
  void ExpectMessage(Out data) { message_ = data; }

 private:
  int count() const { return static_cast<int>(parts_.size()); }
  MPI_Status* statuses() {
    statuses_.resize(parts_.size());
    return statuses_.data();
  }

  void Finish() {
    if (std::exchange(finished_, true)) return;
    if (!staged_.empty()) std::memcpy(target_.data(), staged_.data(), staged_.size());
    if (!message_) return;
    int64_t received = 0;
    for (const MPI_Status& status : statuses_) {
      int of_part = 0;
      MPI_CHECK(MPI_Get_count(&status, MpiType(message_.dtype()), &of_part));
      received += of_part;
    }
    CHECK_EQ(received, message_.count()) << "elements of a message, and of the buffer for it";
  }

  std::vector<MPI_Request> parts_;
  std::vector<MPI_Status> statuses_;  // [part]
  std::deque<std::vector<int>> arrays_;
  std::vector<char> staged_;
  Out target_, message_;
  bool finished_ = false;
};

class MpiCommunicator : public Communicator {
 public:
  explicit MpiCommunicator(MPI_Comm comm) : Communicator(PlaceIn(comm)), comm_(comm) {}
  MpiCommunicator(MPI_Comm comm, Recorder& recorder, const std::string& name)
      : Communicator(PlaceIn(comm), recorder, name), comm_(comm) {}
  ~MpiCommunicator() override { MPI_CHECK(MPI_Comm_free(&comm_)); }

 private:
  static Place PlaceIn(MPI_Comm comm) {
    Place place;
    MPI_CHECK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
    MPI_CHECK(MPI_Comm_rank(comm, &place.rank));
    MPI_CHECK(MPI_Comm_size(comm, &place.size));
    MPI_Comm local;
    MPI_CHECK(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, place.rank, MPI_INFO_NULL, &local));
    MPI_CHECK(MPI_Comm_rank(local, &place.local_rank));
    MPI_CHECK(MPI_Comm_size(local, &place.local_size));
    MPI_CHECK(MPI_Comm_free(&local));
    return place;
  }

  std::unique_ptr<Communicator> DoSplit(int colour, int key, const std::string& name) override {
    MPI_Comm part;
    MPI_CHECK(MPI_Comm_split(comm_, colour == kNoGroup ? MPI_UNDEFINED : colour, key, &part));
    if (part == MPI_COMM_NULL) return nullptr;
    return std::make_unique<MpiCommunicator>(part, recorder(), name);
  }

  std::unique_ptr<Operation> DoStart(const Call& call, cudaStream_t) override {
    CHECK(call.device() == Device::kCpu) << "MPI works on the CPU only";
    auto operation = std::make_unique<MpiOperation>();
    switch (call.kind) {
      case CallKind::kBarrier:
        MPI_CHECK(MPI_Ibarrier(comm_, operation->NewPart()));
        break;
      case CallKind::kReduceScatterSum:
      case CallKind::kAllGather:
      case CallKind::kAllToAll:
        StartParts(call, *operation);
        break;
      default:
        StartPieces(call, *operation);
        break;
    }
    return operation;
  }

  // Calls of one contiguous buffer, in pieces that MPI can count.
  void StartPieces(const Call& call, MpiOperation& operation) const {
    if (call.kind == CallKind::kReceive) operation.ExpectMessage(call.out);
    const MPI_Datatype type = MpiType(call.dtype());
    const int64_t all = call.summary().count;
    for (int64_t begin = 0; begin < all; begin += kMaxCount) {
      const int count = static_cast<int>(std::min(kMaxCount, all - begin));
      const int64_t offset = begin * SizeOf(call.dtype());
      const char* const in = static_cast<const char*>(call.in.data()) + offset;
      char* const out = static_cast<char*>(call.out.data()) + offset;
      MPI_Request* const part = operation.NewPart();
      switch (call.kind) {
        case CallKind::kAllReduceSum:
          MPI_CHECK(MPI_Iallreduce(MPI_IN_PLACE, out, count, type, MPI_SUM, comm_, part));
          break;
        case CallKind::kBroadcast:
          MPI_CHECK(MPI_Ibcast(out, count, type, call.peer, comm_, part));
          break;
        case CallKind::kSend:
          MPI_CHECK(MPI_Isend(in, count, type, call.peer, kTag, comm_, part));
          break;
        case CallKind::kReceive:
          MPI_CHECK(MPI_Irecv(out, count, type, call.peer, kTag, comm_, part));
          break;
        default:
          LOG(FATAL) << call.summary() << " has not one buffer";
      }
    }
  }

  // Calls of buffers with a part for each rank.
  void StartParts(const Call& call, MpiOperation& operation) const {
    const MPI_Datatype type = MpiType(call.dtype());
    const int in_count = CountOf(call.in), out_count = CountOf(call.out);
    if (in_count == 0 && out_count == 0 && call.kind != CallKind::kAllToAll) return;
    const int64_t part_bytes = std::min(call.in.bytes(), call.out.bytes());
    MPI_Request* const part = operation.NewPart();
    switch (call.kind) {
      case CallKind::kAllGather: {
        const char* const place = static_cast<char*>(call.out.data()) + rank() * part_bytes;
        const void* const in = call.in.data() == place ? MPI_IN_PLACE : call.in.data();
        MPI_CHECK(MPI_Iallgather(in, in_count, type, call.out.data(), in_count, type, comm_, part));
        break;
      }
      case CallKind::kReduceScatterSum: {
        // MPI knows another way of working in place.
        const char* const place = static_cast<const char*>(call.in.data()) + rank() * part_bytes;
        void* const out = call.out.data() == place ? operation.Stage(call.out) : call.out.data();
        MPI_CHECK(
            MPI_Ireduce_scatter_block(call.in.data(), out, out_count, type, MPI_SUM, comm_, part));
        break;
      }
      default: {
        const auto [sent, sent_begin] = operation.Keep(call.in_counts);
        const auto [received, received_begin] = operation.Keep(call.out_counts);
        MPI_CHECK(MPI_Ialltoallv(call.in.data(), sent, sent_begin, type, call.out.data(), received,
                                 received_begin, type, comm_, part));
        break;
      }
    }
  }

  MPI_Comm comm_;
};

}  // namespace

std::unique_ptr<Communicator> MakeMpiCommunicator() {
  MPI_Comm world;
  MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &world));
  return std::make_unique<MpiCommunicator>(world);
}

std::string MpiErrorString(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, length);
}

}  // namespace treeformer::dist
