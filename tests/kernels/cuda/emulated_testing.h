#pragma once

// What the tests of emulated kernels share: bfloat16 operands and the ways to run a kernel.

#include <functional>
#include <ostream>

#include "kernels/cuda/blocks.h"
#include "kernels/cuda/device.cuh"
#include "tests/kernels/dense_testing.h"

namespace treeformer::emulation {

inline std::ostream& operator<<(std::ostream& out, const Options& options) {
  return out << (options.copies == Copies::kLazy ? "late" : "early") << " copies, order "
             << options.seed;
}

}  // namespace treeformer::emulation

namespace treeformer::emulated_testing {

// Unit roundoff of bfloat16 (8 bits of significand), and half of its smallest number.
constexpr double kBFloat16Rounding = 0x1p-8;
constexpr double kBFloat16Tiny = 0x1p-134;

// Copies that arrive early and late, and different orders of threads and blocks.
inline std::vector<emulation::Options> AllOptions() {
  std::vector<emulation::Options> all;
  for (const emulation::Copies copies : {emulation::Copies::kEager, emulation::Copies::kLazy}) {
    for (const unsigned seed : {1, 2}) all.push_back({seed, copies});
  }
  return all;
}

inline std::vector<BFloat16> ToBFloat16(const std::vector<float>& values) {
  std::vector<BFloat16> result;
  for (const float value : values) result.push_back(device::ToBFloat16(value));
  return result;
}
inline std::vector<float> ToFloat(const std::vector<BFloat16>& values) {
  std::vector<float> result;
  for (const BFloat16 value : values) result.push_back(device::ToFloat(value));
  return result;
}
inline std::vector<double> ToDouble(const std::vector<BFloat16>& values) {
  return dense_testing::Wide(ToFloat(values));
}

// |error| of a float result, rounded to bfloat16 in the end.
inline std::function<double(int64_t)> Rounded(const std::vector<double>& expected,
                                              double float_error) {
  return [&expected, float_error](int64_t i) {
    return float_error + kBFloat16Rounding * (std::abs(expected[i]) + float_error) + kBFloat16Tiny;
  };
}

// Values of Random() that are bfloat16.
inline std::vector<BFloat16> RandomBFloat16(int64_t count, unsigned seed) {
  return ToBFloat16(dense_testing::Random<float>(count, seed));
}

inline int Blocks(int64_t items, int64_t per_block) {
  return static_cast<int>(cuda::DivideUp(items, per_block));
}

// An output of bfloat16: NaN where it is not written.  Aligned to 16 bytes, as all vectors are.
inline std::vector<BFloat16> Unwritten(int64_t count) {
  return std::vector<BFloat16>(count, BFloat16{0x7fff});
}

}  // namespace treeformer::emulated_testing
