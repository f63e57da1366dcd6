#include "kernels/activation.h"
#include "kernels/activation_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

// One thread, its tail, one past a warp, primes, one past a block.
constexpr int64_t kCounts[] = {1, 7, 8, 9, 257, 2047, 2048, 2049, 6151};

// From far below to far above, with both signs of zero.
std::vector<BFloat16> Inputs(int64_t count) {
  std::vector<float> x = Random<float>(count, 1);
  for (int64_t i = 0; i < count; ++i) x[i] *= i % 3 == 0 ? 0.01f : i % 3 == 1 ? 1 : 11;
  if (count > 1) x[0] = 0, x[1] = -0.0f;
  return ToBFloat16(x);
}

// Relative, before rounding to bfloat16: the argument of erfc and exp is rounded (x^2 / 2, three
// times), a few operations follow.
double PhiError(double x) { return (3 * x * x / 2 + 12) * kRounding; }

emulation::Grid GeluGrid(int64_t count) { return {Blocks(count, cuda::kGeluPerBlock)}; }

TEST(GeluKernels, ForwardIsTheReferenceRoundedToBFloat16) {
  for (const int64_t count : kCounts) {
    const std::vector<BFloat16> x = Inputs(count);
    std::vector<double> x64 = ToDouble(x), expected(count);
    reference::GeluForward<double>(testing_util::HostContext(), On(expected, {count}),
                                   On(x64, {count}));
    for (const emulation::Options& options : AllOptions()) {
      std::vector<BFloat16> y = Unwritten(count);
      emulation::Launch(GeluGrid(count), cuda::kGeluThreads, /*shared_bytes=*/0, options,
                        cuda::GeluForwardKernel, y.data(), x.data(), count);
      const auto tolerance = [&](int64_t i) {
        return (PhiError(x64[i]) + kBFloat16Rounding) * std::abs(expected[i]) + kBFloat16Tiny;
      };
      ExpectNear(ToFloat(y), expected, tolerance, "y");
    }
  }
}

// dx = dy (Phi + x phi): the two terms may cancel, so the float error is relative to their
// magnitudes.
TEST(GeluKernels, BackwardIsTheReferenceRoundedToBFloat16AndMayBeInPlace) {
  for (const int64_t count : kCounts) {
    const std::vector<BFloat16> x = Inputs(count);
    std::vector<BFloat16> dy = ToBFloat16(Random<float>(count, 2));
    std::vector<double> x64 = ToDouble(x), dy64 = ToDouble(dy), expected(count);
    reference::GeluBackward<double>(testing_util::HostContext(), On(expected, {count}),
                                    On(dy64, {count}), On(x64, {count}));
    const auto tolerance = [&](int64_t i) {
      const double cdf = std::erfc(-x64[i] / std::sqrt(2.0)) / 2;
      const double x_density = std::abs(x64[i]) * 0.3989422804 * std::exp(-x64[i] * x64[i] / 2);
      return kBFloat16Rounding * std::abs(expected[i]) + kBFloat16Tiny +
             2 * PhiError(x64[i]) * std::abs(dy64[i]) * (cdf + x_density);
    };
    std::vector<BFloat16> dx = Unwritten(count);
    emulation::Launch(GeluGrid(count), cuda::kGeluThreads, /*shared_bytes=*/0, {},
                      cuda::GeluBackwardKernel, dx.data(), dy.data(), x.data(), count);
    ExpectNear(ToFloat(dx), expected, tolerance, "dx");
    emulation::Launch(GeluGrid(count), cuda::kGeluThreads, /*shared_bytes=*/0, {},
                      cuda::GeluBackwardKernel, dy.data(), dy.data(), x.data(), count);
    EXPECT_EQ(ToFloat(dy), ToFloat(dx));
  }
}

TEST(GeluKernels, WriteNothingPastTheEnd) {
  const int64_t count = 2043;
  const std::vector<BFloat16> x = Inputs(count + 16);
  std::vector<BFloat16> y = Unwritten(count + 16);
  emulation::Launch(GeluGrid(count), cuda::kGeluThreads, /*shared_bytes=*/0, {},
                    cuda::GeluForwardKernel, y.data(), x.data(), count);
  for (int64_t i = count; i < count + 16; ++i) EXPECT_EQ(y[i].bits, 0x7fff) << i;
}

}  // namespace

}  // namespace treeformer
