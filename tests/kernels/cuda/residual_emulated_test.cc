#include "kernels/residual.h"
#include "kernels/residual_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

const RandomKey kKey{.seed = 0x123456789abcdef0, .step = 11, .site = 13};

// Every alignment within a block of random numbers, and blocks whose number needs 33 bits.
const uint64_t kOffsets[] = {0, 1, 2, 3, 4 * 1023 + 2, (uint64_t{1} << 34) - 4};
// One thread, its tail, one past a warp, primes, one past a block.
constexpr int64_t kCounts[] = {1, 7, 8, 9, 257, 2048, 2049, 4099};

// y = x + dropout(branch); x may be empty: 0.
template <int kWidth>
std::vector<BFloat16> AddDropout(const std::vector<BFloat16>& x,
                                 const std::vector<BFloat16>& branch, const Dropout& dropout,
                                 const emulation::Options& options = {}) {
  const int64_t count = branch.size();
  std::vector<BFloat16> y = Unwritten(count + 16);
  emulation::Launch(emulation::Grid{Blocks(count, cuda::kResidualThreads * kWidth)},
                    cuda::kResidualThreads, /*shared_bytes=*/0, options,
                    cuda::AddDropoutKernel<kWidth>, y.data(), x.empty() ? nullptr : x.data(),
                    branch.data(), dropout, count);
  for (int64_t i = count; i < count + 16; ++i) EXPECT_EQ(y[i].bits, 0x7fff) << "past the end";
  y.resize(count);
  return y;
}

// One product, rounded to float and then to bfloat16: equal, not near.
TEST(ResidualKernels, DropTheElementsThatTheReferenceDrops) {
  for (const uint64_t offset : kOffsets) {
    for (const int64_t count : kCounts) {
      SCOPED_TRACE(testing::Message() << count << " at " << offset);
      const Dropout dropout{.rate = 0.3f, .key = kKey, .offset = offset};
      const std::vector<BFloat16> x = RandomBFloat16(count, 1);
      std::vector<float> x32 = ToFloat(x), expected(count);
      reference::ApplyDropout<float>(testing_util::HostContext(), On(expected, {count}),
                                     On(x32, {count}), dropout);
      expected = ToFloat(ToBFloat16(expected));
      EXPECT_EQ(ToFloat(AddDropout<8>({}, x, dropout)), expected);
      EXPECT_EQ(ToFloat(AddDropout<1>({}, x, dropout)), expected);
    }
  }
}

// A product and a sum of numbers up to 1.5, each rounded, and the result to bfloat16.
TEST(ResidualKernels, AddTheBranchToTheInput) {
  for (const float rate : {0.0f, 0.3f}) {
    for (const int64_t count : kCounts) {
      SCOPED_TRACE(testing::Message() << count << " at rate " << rate);
      const Dropout dropout{.rate = rate, .key = kKey, .offset = 4};
      const std::vector<BFloat16> x = RandomBFloat16(count, 1), branch = RandomBFloat16(count, 2);
      std::vector<double> x64 = ToDouble(x), branch64 = ToDouble(branch), expected(count);
      reference::AddResidual<double>(testing_util::HostContext(), On(expected, {count}),
                                     On(x64, {count}), On(branch64, {count}), dropout);
      for (const emulation::Options& options : AllOptions()) {
        ExpectNear(ToFloat(AddDropout<8>(x, branch, dropout, options)), expected,
                   Rounded(expected, 5 * kRounding), "y");
      }
    }
  }
}

TEST(ResidualKernels, TheResultMayOverwriteTheInput) {
  const int64_t count = 2049;
  const Dropout dropout{.rate = 0.5f, .key = kKey};
  std::vector<BFloat16> x = RandomBFloat16(count, 1);
  const std::vector<BFloat16> branch = RandomBFloat16(count, 2),
                              y = AddDropout<8>(x, branch, dropout);
  emulation::Launch(emulation::Grid{2}, cuda::kResidualThreads, /*shared_bytes=*/0, {},
                    cuda::AddDropoutKernel<8>, x.data(), x.data(), branch.data(), dropout, count);
  EXPECT_EQ(ToFloat(x), ToFloat(y));
}

TEST(ResidualKernels, WhatIsDroppedIsZeroEvenIfItWasNotANumber) {
  const Dropout dropout{.rate = 0.5f, .key = kKey};
  const std::vector<float> y = ToFloat(AddDropout<8>({}, Unwritten(64), dropout));
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(std::isnan(y[i]), dropout.Keeps(i)) << i;
}

}  // namespace

}  // namespace treeformer
