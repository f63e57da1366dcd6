#include "kernels/residual.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;

class Residual : public Float32Test {};

// Random123's kat_vectors, philox4x32 7: counter, key, result.
TEST(Random, PhiloxGivesThePublishedVectors) {
  using Block = r123::Philox4x32::ctr_type;
  EXPECT_EQ(RandomBlock({.seed = 0, .step = 0, .site = 0}, 0),
            (Block{{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}}));
  EXPECT_EQ(RandomBlock({.seed = ~0ull, .step = ~0u, .site = ~0u}, ~0ull),
            (Block{{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662}}));
  EXPECT_EQ(RandomBlock({.seed = 0x299f31d0a4093822, .step = 0x13198a2e, .site = 0x03707344},
                        0x85a308d3243f6a88),
            (Block{{0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a}}));
}

TEST(Random, AnElementIsOneNumberOfItsBlock) {
  const RandomKey key{.seed = 3, .step = 5, .site = 7};
  EXPECT_EQ(RandomBits(key, 0), RandomBlock(key, 0)[0]);
  EXPECT_EQ(RandomBits(key, 4 * 9 + 3), RandomBlock(key, 9)[3]);
  EXPECT_EQ(RandomUniform(key, 6), (RandomBits(key, 6) >> 8) / 16777216.0f);
}

const RandomKey kKey{.seed = 0x123456789abcdef0, .step = 11, .site = 13};

// Every alignment within a block, and blocks whose number needs more than 32 bits.
const uint64_t kOffsets[] = {0, 1, 2, 3, 4 * 1023 + 2, (uint64_t{1} << 34) - 3};
const int64_t kCounts[] = {0, 1, 3, 4, 5, 17, 1021, 1025, 16385};

// Dropping is exact, and what is kept is one product: equal, not near.
TEST_P(Residual, DropoutIsTheReferenceBitForBitAtEveryOffset) {
  for (uint64_t offset : kOffsets) {
    for (int64_t count : kCounts) {
      SCOPED_TRACE(testing::Message() << count << " at " << offset);
      const Dropout dropout{.rate = 0.3f, .key = kKey, .offset = offset};
      auto x = Random<float>(count, 1);
      std::vector<float> expected(count);
      reference::ApplyDropout<float>(testing_util::HostContext(), On(expected, {count}),
                                     On(x, {count}), dropout);
      const Tensor<float> x_on(ctx_, {count}, x), y(ctx_, {count});
      ApplyDropout(ctx_, y, x_on, dropout);
      EXPECT_EQ(y.values(), expected);
      ApplyDropout(ctx_, x_on, x_on, dropout);
      EXPECT_EQ(x_on.values(), expected) << "in place";
    }
  }
}

// A product and a sum, each rounded once or both together.
TEST_P(Residual, AddsTheBranchToTheInput) {
  for (float rate : {0.0f, 0.3f}) {
    for (int64_t count : kCounts) {
      SCOPED_TRACE(testing::Message() << count << " at rate " << rate);
      const Dropout dropout{.rate = rate, .key = kKey, .offset = 3};
      const auto x = Random<float>(count, 1), branch = Random<float>(count, 2);
      auto x64 = Wide(x), branch64 = Wide(branch);
      std::vector<double> expected(count);
      reference::AddResidual<double>(testing_util::HostContext(), On(expected, {count}),
                                     On(x64, {count}), On(branch64, {count}), dropout);
      const Tensor<float> x_on(ctx_, {count}, x), branch_on(ctx_, {count}, branch);
      const Tensor<float> y(ctx_, {count});
      AddResidual(ctx_, y, x_on, branch_on, dropout);
      ExpectNear(y.values(), expected, 5 * kRounding, "y");
      AddResidual(ctx_, x_on, x_on, branch_on, dropout);
      EXPECT_EQ(x_on.values(), y.values()) << "in place";
    }
  }
}

TEST_P(Residual, ATensorInTwoPartsIsDroppedAsInOne) {
  constexpr int64_t kCount = 1000, kSplit = 333;
  const auto x = Random<float>(kCount, 1);
  const Tensor<float> whole(ctx_, {kCount}, x), parts(ctx_, {kCount}, x);
  Dropout dropout{.rate = 0.5f, .key = kKey, .offset = 77};
  ApplyDropout(ctx_, whole, whole, dropout);
  const View<float> view = parts;
  ApplyDropout(ctx_, view.Rows(0, kSplit), view.Rows(0, kSplit), dropout);
  dropout.offset += kSplit;
  ApplyDropout(ctx_, view.Rows(kSplit, kCount), view.Rows(kSplit, kCount), dropout);
  EXPECT_EQ(parts.values(), whole.values());
}

// Five standard deviations of a binomial; a mean of 1 is kept.
TEST_P(Residual, TheRateIsTheShareDropped) {
  constexpr int64_t kCount = 1 << 16;
  constexpr float kRate = 0.25f;
  const Tensor<float> x(ctx_, {kCount}, std::vector<float>(kCount, 1)), y(ctx_, {kCount});
  ApplyDropout(ctx_, y, x, Dropout{.rate = kRate, .key = kKey});
  int64_t dropped = 0;
  for (float value : y.values()) {
    dropped += value == 0;
    EXPECT_TRUE(value == 0 || value == 1 / (1 - kRate)) << value;
  }
  EXPECT_NEAR(dropped, kRate * kCount, 5 * std::sqrt(kRate * (1 - kRate) * kCount));
}

TEST_P(Residual, WhatIsDroppedIsZeroEvenIfItWasNotANumber) {
  const Dropout dropout{.rate = 0.5f, .key = kKey};
  const Tensor<float> x(ctx_, {64}, std::vector<float>(64, NAN)), y(ctx_, {64});
  ApplyDropout(ctx_, y, x, dropout);
  const std::vector<float> values = y.values();
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(std::isnan(values[i]), dropout.Keeps(i));
}

INSTANTIATE_BACKENDS(Residual);

TEST(ResidualDeathTest, WrongShapeOrRateDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> x(ctx, {2, 3}), y(ctx, {6});
  EXPECT_DEATH(ApplyDropout(ctx, y, x, {}), "y.shape");
  EXPECT_DEATH(AddResidual(ctx, x, x, y, {}), "branch.shape");
  EXPECT_DEATH(ApplyDropout(ctx, x, x, Dropout{.rate = 1, .key = kKey}), "dropout rate 1");
}

}  // namespace

}  // namespace treeformer
