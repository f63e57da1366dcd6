#pragma once

// What NCCL's communicator must do, on a GPU or on a simulated one.  Small whole numbers, so that
// sums of up to 32 ranks are exact in bfloat16 too.

#include <algorithm>
#include <memory>
#include <vector>

#include "dist/gradient_reducer.h"
#include "tests/dist/collectives.h"

namespace treeformer::testing_util {

// One rank's GPU, with one compute stream.
class Gpu {
 public:
  virtual ~Gpu() = default;
  virtual cudaStream_t stream() = 0;
  virtual Out Allocate(DType dtype, int64_t count) = 0;  // lives as long as this
  // In the order of the stream, and not at once; `host` may go on return.
  virtual void Write(Out data, In host) = 0;
  // Waits for the stream.
  virtual void Read(Out host, In data) = 0;
};

// A whole number of at most 256 as any element type.
template <typename T>
T FromWhole(int64_t x) {
  return static_cast<T>(x);
}
template <>
inline BFloat16 FromWhole(int64_t x) {
  return {static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(x)) >> 16)};
}
inline double AsDouble(BFloat16 x) { return ToFloat32(x); }
inline double AsDouble(double x) { return x; }

inline int64_t ElementOfRank(int64_t rank, int64_t i) { return (rank + i) % 8; }
inline int64_t ElementOfSum(int64_t size, int64_t i) {
  int64_t sum = 0;
  for (int64_t rank = 0; rank < size; ++rank) sum += ElementOfRank(rank, i);
  return sum;
}

template <typename T>
class GpuArray {
 public:
  GpuArray(Gpu& gpu, int64_t count)
      : gpu_(gpu), count_(count), data_(gpu.Allocate(DTypeOf<T>(), count)) {}
  GpuArray(Gpu& gpu, int64_t count, int rank) : GpuArray(gpu, count) { Write(rank, 0, count); }

  Out view() const { return data_; }
  void Write(int rank, int64_t begin, int64_t end) const {
    std::vector<T> values;
    for (int64_t i = begin; i < end; ++i) values.push_back(FromWhole<T>(ElementOfRank(rank, i)));
    gpu_.Write(data_.Rows(begin, end), Whole(values));
  }
  template <typename Expected>
  void Expect(const Expected& expected, const char* what) const {
    std::vector<T> values(count_);
    gpu_.Read(Whole(values), data_);
    for (int64_t i = 0; i < count_; ++i) {
      ASSERT_EQ(AsDouble(values[i]), expected(i)) << what << ", " << i << " of " << count_;
    }
  }
  void ExpectSum(int size, const char* what) const {
    Expect([&](int64_t i) { return ElementOfSum(size, i); }, what);
  }
  void ExpectRank(int rank, const char* what) const {
    Expect([&](int64_t i) { return ElementOfRank(rank, i); }, what);
  }

 private:
  Gpu& gpu_;
  const int64_t count_;
  const Out data_;
};

template <typename T>
void CheckGpuCollectivesOf(dist::Communicator& comm, Gpu& gpu) {
  const int rank = comm.rank(), size = comm.size();
  for (int64_t count : {0, 1, 37, 1025}) {
    const GpuArray<T> sum(gpu, count, rank);
    comm.AllReduceSum(sum.view(), gpu.stream());
    sum.ExpectSum(size, "a sum");

    const GpuArray<T> first(gpu, count, rank), second(gpu, count, rank), third(gpu, count, rank);
    auto first_sum = comm.StartAllReduceSum(first.view(), gpu.stream());
    auto second_sum = comm.StartAllReduceSum(second.view(), gpu.stream());
    auto third_sum = comm.StartAllReduceSum(third.view(), gpu.stream());
    second_sum->Wait();
    second_sum->Wait();
    second.ExpectSum(size, "a sum that was waited for");
    while (!first_sum->Test()) {
    }
    EXPECT_TRUE(first_sum->Test());
    first_sum->Wait();
    first.ExpectSum(size, "a sum that was tested");
    third_sum.reset();
    third.ExpectSum(size, "a sum whose request is gone");

    for (int root : {0, size - 1}) {
      const GpuArray<T> sent(gpu, count, rank);
      comm.Broadcast(sent.view(), root, gpu.stream());
      sent.ExpectRank(root, "a broadcast");
      // what is given to the stream later comes later
      comm.AllReduceSum(sent.view(), gpu.stream());
      sent.Write(rank, 0, count);
      comm.Broadcast(sent.view(), root, gpu.stream());
      sent.Write(rank + 1, 0, count);
      sent.ExpectRank(rank + 1, "a write after a broadcast");
    }
  }
}

// Gradients are written piece by piece, each just before it is reported.
inline void CheckReducerOnGpu(dist::Communicator& comm, Gpu& gpu) {
  constexpr int64_t kCount = 10007, kPiece = 777;
  const GpuArray<float> gradients(gpu, kCount);
  dist::GradientReducer reducer(comm, gradients.view(), /*bucket_bytes=*/1 << 12);
  for (int step = 0; step < 2; ++step) {
    for (int64_t end = kCount; end > 0; end -= kPiece) {
      const int64_t begin = std::max<int64_t>(0, end - kPiece);
      gradients.Write(comm.rank() + step, begin, end);
      reducer.Ready(begin, end, gpu.stream());
    }
    reducer.Wait(gpu.stream());
    gradients.Expect(
        [&](int64_t i) {
          return ElementOfSum(comm.size() + step, i) - (step > 0 ? ElementOfRank(0, i) : 0);
        },
        "a gradient");
  }
}

inline void CheckGpuCollectives(dist::Communicator& comm, Gpu& gpu) {
  CheckGpuCollectivesOf<float>(comm, gpu);
  CheckGpuCollectivesOf<double>(comm, gpu);
  CheckGpuCollectivesOf<BFloat16>(comm, gpu);
  CheckGpuCollectivesOf<int32_t>(comm, gpu);
  CheckReducerOnGpu(comm, gpu);
  CheckCollectives(comm);  // of buffers in host memory
}

}  // namespace treeformer::testing_util
