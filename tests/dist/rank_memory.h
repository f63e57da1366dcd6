#pragma once

// Buffers of a rank in tests of communicators, in host memory or on a GPU.  Small whole numbers, so
// that sums of up to 32 ranks are exact in bfloat16 too.

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "kernels/runtime/context.h"

namespace treeformer::testing_util {

template <typename T>
View<T> Whole(std::vector<T>& values) {
  return View<T>(values.data(), {static_cast<int64_t>(values.size())});
}

// Where one rank keeps its buffers, with one compute stream.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual cudaStream_t stream() = 0;
  virtual Out Allocate(DType dtype, int64_t count) = 0;  // lives as long as this
  // In the order of the stream, and not at once; `host` may go on return.
  virtual void Write(Out data, In host) = 0;
  // Waits for the stream.
  virtual void Read(Out host, In data) = 0;
};

// The host's, where there is no stream to wait for.
class HostMemory : public Memory {
 public:
  cudaStream_t stream() override { return nullptr; }
  Out Allocate(DType dtype, int64_t count) override {
    return buffers_.emplace_back(Device::kCpu, dtype, Shape{count});
  }
  void Write(Out data, In host) override { CopyBytes(data, host); }
  void Read(Out host, In data) override { CopyBytes(host, data); }

 private:
  static void CopyBytes(Out to, In from) {
    if (from.count() > 0) std::memcpy(to.data(), from.data(), from.bytes());
  }

  std::vector<Buffer> buffers_;
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
class Array {
 public:
  Array(Memory& memory, int64_t count)
      : memory_(memory), count_(count), data_(memory.Allocate(DTypeOf<T>(), count)) {}
  Array(Memory& memory, int64_t count, int rank) : Array(memory, count) { Write(rank, 0, count); }

  Out view() const { return data_; }
  Out part(int64_t begin, int64_t end) const { return data_.Rows(begin, end); }
  void Write(int rank, int64_t begin, int64_t end) const {
    Fill(begin, end, [&](int64_t i) { return ElementOfRank(rank, i); });
  }
  template <typename Element>
  void Fill(int64_t begin, int64_t end, const Element& element) const {
    std::vector<T> values;
    for (int64_t i = begin; i < end; ++i) values.push_back(FromWhole<T>(element(i)));
    memory_.Write(data_.Rows(begin, end), Whole(values));
  }
  template <typename Expected>
  void Expect(const Expected& expected, const char* what) const {
    std::vector<T> values(count_);
    memory_.Read(Whole(values), data_);
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
  Memory& memory_;
  const int64_t count_;
  const Out data_;
};

}  // namespace treeformer::testing_util
