#include "kernels/runtime/bfloat16.h"

#include <bit>

#include "tests/testing.h"

namespace treeformer {

namespace {

using namespace testing_util;

std::vector<uint16_t> Rounded(const std::vector<float>& x) {
  std::vector<BFloat16> y(x.size());
  cpu::RoundToBFloat16(y.data(), x.data(), x.size());
  std::vector<uint16_t> bits;
  for (const BFloat16 value : y) bits.push_back(value.bits);
  return bits;
}

TEST(RoundToBFloat16, GoesToTheNearestAndFromTheMiddleToTheEven) {
  const auto bits = [](uint32_t word) { return std::bit_cast<float>(word); };
  EXPECT_EQ(Rounded({bits(0x3F800000), bits(0x3F807FFF), bits(0x3F808000), bits(0x3F808001),
                     bits(0x3F818000), bits(0xBF818000), bits(0x3FFF8000)}),
            (std::vector<uint16_t>{0x3F80, 0x3F80, 0x3F80, 0x3F81, 0x3F82, 0xBF82, 0x4000}));
}

TEST(RoundToBFloat16, KeepsZeroesInfinitiesAndNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(Rounded({0.0f, -0.0f, infinity, -infinity, largest}),
            (std::vector<uint16_t>{0, 0x8000, 0x7F80, 0xFF80, 0x7F80}));
  for (const uint32_t nan : {0x7FC00000u, 0x7F800001u, 0xFFFFFFFFu}) {
    const BFloat16 rounded{Rounded({std::bit_cast<float>(nan)})[0]};
    EXPECT_TRUE(std::isnan(ToFloat32(rounded))) << nan;
  }
}

// One float, one past a vector, primes: and what lies behind is not touched.
TEST(RoundToBFloat16, IsWithinHalfAStepForEveryCountAndInPlace) {
  for (const int64_t count : {0, 1, 7, 8, 9, 16, 17, 31, 257}) {
    const std::vector<float> x = Random<float>(count, 1);
    std::vector<BFloat16> y(count + 1, {0x1234});
    cpu::RoundToBFloat16(y.data(), x.data(), count);
    std::vector<float> wide(count + 1, 5), same = x;
    cpu::WidenToFloat32(wide.data(), y.data(), count);
    cpu::RoundToBFloat16(reinterpret_cast<BFloat16*>(same.data()), same.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_LE(std::abs(wide[i] - x[i]), 0x1p-8 * std::abs(x[i])) << i << " of " << count;
      EXPECT_EQ(wide[i], ToFloat32(y[i]));
      EXPECT_EQ(reinterpret_cast<const BFloat16*>(same.data())[i].bits, y[i].bits);
    }
    EXPECT_EQ(y[count].bits, 0x1234);
    EXPECT_EQ(wide[count], 5);
  }
}

}  // namespace

}  // namespace treeformer
