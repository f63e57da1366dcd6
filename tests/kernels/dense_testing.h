#pragma once

// Operands of the dense operations for tests: on any back end, and in double for the reference.

#include <omp.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "tests/testing.h"

namespace treeformer::dense_testing {

using testing_util::BackendTest;
using testing_util::Float32Test;
using testing_util::Random;

constexpr double kRounding = 0x1p-24;  // of one float operation, relative

// The error a float sum of products of pairs from Random() may carry: the standard deviation of a
// product is 1/3, so a partial sum is within 5/3 sqrt(terms), and so many roundings of it, of
// random sign (standard deviation 1 / sqrt 3), are again within five deviations.
inline double DotTolerance(int64_t terms) { return 25 / (3 * std::sqrt(3.0)) * terms * kRounding; }

// Values on the device of a context; NaN (integers: -1) where none are given, so that an output
// that is not written shows.
template <typename T>
class Tensor {
 public:
  Tensor(Context& ctx, Shape shape, const std::vector<T>& values)
      : ctx_(ctx), buffer_(ctx.device(), DTypeOf<T>(), shape) {
    CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
    Copy(ctx, buffer_, View<const T>(values.data(), shape));
    ctx.Synchronize();
  }
  Tensor(Context& ctx, Shape shape)
      : Tensor(ctx, shape, std::vector<T>(shape.count(), std::is_integral_v<T> ? T(-1) : T(NAN))) {}

  operator View<T>() const { return buffer_; }
  operator View<const T>() const { return buffer_.as<T>(); }
  operator Out() const { return buffer_; }
  operator In() const { return buffer_; }

  std::vector<T> values() const {
    std::vector<T> values(buffer_.shape().count());
    Copy(ctx_, View<T>(values.data(), buffer_.shape()), buffer_);
    ctx_.Synchronize();
    return values;
  }

 private:
  Context& ctx_;
  Buffer buffer_;
};

template <typename T>
View<T> On(std::vector<T>& values, Shape shape) {
  CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
  return {values.data(), shape};
}

// Rows of `columns` moved apart to rows of `ld`; NaN, which every sum shows, lies between them.
template <typename T>
std::vector<T> WithRowsOf(const std::vector<T>& values, int64_t columns, int64_t ld, T gap = NAN) {
  const int64_t rows = static_cast<int64_t>(values.size()) / columns;
  std::vector<T> apart(rows * ld, gap);
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(values.begin() + row * columns, columns, apart.begin() + row * ld);
  }
  return apart;
}
// The rows are those of `expected` bit for bit, and nothing was written between them.
inline void ExpectRowsOf(const std::vector<float>& apart, const std::vector<float>& expected,
                         int64_t columns, int64_t ld) {
  const std::vector<float> with_gaps = WithRowsOf(expected, columns, ld);
  ASSERT_EQ(apart.size(), with_gaps.size());
  for (size_t i = 0; i < apart.size(); ++i) {
    const bool gap = static_cast<int64_t>(i) % ld >= columns;
    ASSERT_TRUE(gap ? std::isnan(apart[i]) : apart[i] == with_gaps[i])
        << apart[i] << " at " << i << ", expected " << with_gaps[i];
  }
}

inline std::vector<double> Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Rounded to bfloat16, to nearest, ties to even; bit by bit, apart from kernels/runtime/bfloat16.h.
inline float AsBFloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), lower = bits & 0xFFFF;
  const bool up = lower > 0x8000 || (lower == 0x8000 && (bits & 0x10000) != 0);
  return std::bit_cast<float>((bits & 0xFFFF0000) + (up ? 0x10000 : 0));
}
inline std::vector<float> AsBFloat16(std::vector<float> values) {
  for (float& value : values) value = AsBFloat16(value);
  return values;
}

inline double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// |actual_i - expected_i| <= tolerance(i), NaN refused; the first few offenders are shown.
inline void ExpectNear(const std::vector<float>& actual, const std::vector<double>& expected,
                       const std::function<double(int64_t)>& tolerance, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  int shown = 0;
  for (size_t i = 0; i < actual.size() && shown < 5; ++i) {
    if (std::abs(actual[i] - expected[i]) <= tolerance(i)) continue;
    ++shown;
    ADD_FAILURE() << what << "[" << i << "] is " << actual[i] << ", expected " << expected[i]
                  << " within " << tolerance(i);
  }
}
inline void ExpectNear(const std::vector<float>& actual, const std::vector<double>& expected,
                       double tolerance, const char* what) {
  ExpectNear(
      actual, expected, [tolerance](int64_t) { return tolerance; }, what);
}

// The same bits from 1, 2 and 3 threads.
inline void ExpectSameBits(const std::function<std::vector<float>()>& compute) {
  const int threads = omp_get_max_threads();
  std::vector<std::vector<float>> results;
  for (int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    results.push_back(compute());
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace treeformer::dense_testing
