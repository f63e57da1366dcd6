#include "dist/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <vector>

#include "kernels/runtime/check.h"

namespace treeformer::dist {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 30;  // elements in one call: MPI counts in int

MPI_Datatype MpiType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return MPI_FLOAT;
    case DType::kFloat64:
      return MPI_DOUBLE;
    case DType::kInt32:
      return MPI_INT32_T;
    default:
      LOG(FATAL) << "MPI has no sum of this element type";
  }
}

// Calls piece(data, count) on parts that MPI can count.
template <typename Piece>
void ForEachPiece(Out data, const Piece& piece) {
  CHECK(data.device() == Device::kCpu) << "MPI works on the CPU only";
  const Out flat = data.Reshaped({data.count()});
  for (int64_t begin = 0; begin < flat.count(); begin += kMaxCount) {
    const Out part = flat.Rows(begin, std::min(begin + kMaxCount, flat.count()));
    piece(part.data(), static_cast<int>(part.count()));
  }
}

class MpiRequest : public Request {
 public:
  explicit MpiRequest(std::vector<MPI_Request> parts) : parts_(std::move(parts)) {}
  ~MpiRequest() override { Wait(); }

  bool Test() override {
    int done = 0;
    MPI_CHECK(MPI_Testall(count(), parts_.data(), &done, MPI_STATUSES_IGNORE));
    return done != 0;
  }
  // A request that is done is null, and MPI does not wait for it again.
  void Wait() override { MPI_CHECK(MPI_Waitall(count(), parts_.data(), MPI_STATUSES_IGNORE)); }

 private:
  int count() const { return static_cast<int>(parts_.size()); }

  std::vector<MPI_Request> parts_;
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator() {
    MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &comm_));
    MPI_CHECK(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
    MPI_CHECK(MPI_Comm_rank(comm_, &rank_));
    MPI_CHECK(MPI_Comm_size(comm_, &size_));
    MPI_Comm local;
    MPI_CHECK(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local));
    MPI_CHECK(MPI_Comm_rank(local, &local_rank_));
    MPI_CHECK(MPI_Comm_size(local, &local_size_));
    MPI_CHECK(MPI_Comm_free(&local));
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  ~MpiCommunicator() override { MPI_CHECK(MPI_Comm_free(&comm_)); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  void Barrier() override { MPI_CHECK(MPI_Barrier(comm_)); }

  void AllReduceSum(Out data, cudaStream_t) override {
    ForEachPiece(data, [&](void* piece, int count) {
      MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, piece, count, MpiType(data.dtype()), MPI_SUM, comm_));
    });
  }

  std::unique_ptr<Request> StartAllReduceSum(Out data, cudaStream_t) override {
    std::vector<MPI_Request> parts;
    ForEachPiece(data, [&](void* piece, int count) {
      MPI_CHECK(MPI_Iallreduce(MPI_IN_PLACE, piece, count, MpiType(data.dtype()), MPI_SUM, comm_,
                               &parts.emplace_back()));
    });
    return std::make_unique<MpiRequest>(std::move(parts));
  }

  void Broadcast(Out data, int root, cudaStream_t) override {
    ForEachPiece(data, [&](void* piece, int count) {
      MPI_CHECK(MPI_Bcast(piece, count, MpiType(data.dtype()), root, comm_));
    });
  }

  std::vector<double> AllGather(std::span<const double> values) override {
    std::vector<double> all(size_ * values.size());
    const int count = static_cast<int>(values.size());
    MPI_CHECK(
        MPI_Allgather(values.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, comm_));
    return all;
  }

 private:
  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
};

}  // namespace

std::unique_ptr<Communicator> MakeMpiCommunicator() { return std::make_unique<MpiCommunicator>(); }

std::string MpiErrorString(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, length);
}

}  // namespace treeformer::dist
