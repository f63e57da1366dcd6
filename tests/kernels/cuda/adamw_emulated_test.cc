#include "kernels/adamw.h"
#include "kernels/adamw_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

const AdamWOptions kOptions{.learning_rate = 0.125, .weight_decay = 0.25, .t = 3};
// kOptions with the corrections taken out.
const cuda::AdamWFactors kFactors{
    .beta1 = 0.9f,
    .rest1 = 0.1f,
    .beta2 = 0.999f,
    .rest2 = 0.001f,
    .rate = static_cast<float>(0.125 / (1 - 0.9 * 0.9 * 0.9)),
    .root_correction = static_cast<float>(1 / std::sqrt(1 - 0.999 * 0.999 * 0.999)),
    .epsilon = 1e-8f,
    .decay = 0.125f * 0.25f};
constexpr float kScale = 0.5f;

// One thread, its tail, one past a warp, one past a block.
constexpr int64_t kCounts[] = {1, 7, 8, 9, 257, 2047, 2048, 2049, 4099};

struct State {
  explicit State(int64_t count)
      : w(Random<float>(count, 1)),
        m(Random<float>(count, 2)),
        v(Random<float>(count, 3)),
        gradient(Random<float>(count, 4)),
        copy(Unwritten(count + 16)) {
    for (float& value : v) value = std::abs(value);
  }
  void Update(bool with_copy, const emulation::Options& options) {
    const int64_t count = w.size();
    emulation::Launch(emulation::Grid{Blocks(count, cuda::kAdamWPerBlock)}, cuda::kAdamWThreads,
                      /*shared_bytes=*/0, options, cuda::AdamWKernel, w.data(), m.data(), v.data(),
                      with_copy ? copy.data() : nullptr, gradient.data(), &kScale, kFactors, count);
  }
  std::vector<float> w, m, v, gradient;
  std::vector<BFloat16> copy;
};

// The tolerances of tests/kernels/adamw_test.cc.
TEST(AdamWKernels, AgreeWithTheReferenceAndRoundTheCopy) {
  for (const int64_t count : kCounts) {
    SCOPED_TRACE(count);
    const Shape shape{count};
    const State in(count);
    auto w = Wide(in.w), m = Wide(in.m), v = Wide(in.v), gradient = Wide(in.gradient);
    std::vector<double> scale{kScale};
    reference::AdamW<double>(testing_util::HostContext(), On(w, shape), On(m, shape), On(v, shape),
                             On(gradient, shape), On(scale, {1}), kOptions, {});
    const auto tolerance = [&](int64_t i) {
      const double root = std::sqrt(v[i] / (1 - std::pow(0.999, 3)));
      const double step_error = (4 / (1 - std::pow(0.9, 3)) + 12 * std::abs(m[i]) * 4) / root;
      return 0.125 * step_error * kRounding + 3 * kRounding;
    };
    State result(count), without(count);
    result.Update(/*with_copy=*/true, {});
    without.Update(/*with_copy=*/false, {});
    ExpectNear(result.m, m, 4 * kRounding, "m");
    ExpectNear(
        result.v, v, [&](int64_t i) { return 5 * kRounding * v[i]; }, "v");
    ExpectNear(result.w, w, tolerance, "w");
    EXPECT_EQ(without.w, result.w);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(result.copy[i].bits, device::ToBFloat16(result.w[i]).bits) << i;
    }
    EXPECT_EQ(result.copy[count].bits, 0x7fff) << "past the end";
    EXPECT_EQ(without.copy[0].bits, 0x7fff);
  }
}

// 3 heads of 31 entries of 5 elements, one past a block with a fourth.
TEST(AdamWKernels, LevelsAgreeWithTheReferenceInEveryOrderOfThreads) {
  const Shape shape{3, 31, 5};
  const int64_t count = shape.count();
  AdamWOptions options = kOptions;
  options.levels = {{1, 900}, {15, 40}, {31, 3}};
  cuda::AdamWLevels levels{.entries = 31, .entry = 5, .count = 3};
  for (int i = 0; i < 3; ++i) {
    levels.end[i] = options.levels[i].end;
    const double t = options.levels[i].t;
    levels.rate[i] = static_cast<float>(0.125 / (1 - std::pow(0.9, t)));
    levels.root_correction[i] = static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, t)));
  }
  const State in(count);
  auto w = Wide(in.w), m = Wide(in.m), v = Wide(in.v), gradient = Wide(in.gradient);
  std::vector<double> scale{kScale};
  reference::AdamW<double>(testing_util::HostContext(), On(w, shape), On(m, shape), On(v, shape),
                           On(gradient, shape), On(scale, {1}), options, {});
  for (const emulation::Options& order : AllOptions()) {
    State result(count);
    emulation::Launch(emulation::Grid{Blocks(count, cuda::kAdamWThreads)}, cuda::kAdamWThreads,
                      /*shared_bytes=*/0, order, cuda::AdamWLevelsKernel, result.w.data(),
                      result.m.data(), result.v.data(), result.copy.data(), result.gradient.data(),
                      &kScale, kFactors, levels, count);
    ExpectNear(
        result.w, w,
        [&](int64_t i) {
          const double t = options.levels[i / 5 % 31 < 1 ? 0 : (i / 5 % 31 < 15 ? 1 : 2)].t;
          const double root = std::sqrt(v[i] / (1 - std::pow(0.999, t)));
          const double step_error = (4 / (1 - std::pow(0.9, t)) + 12 * std::abs(m[i]) * 4) / root;
          return 0.125 * step_error * kRounding + 3 * kRounding;
        },
        "w");
    EXPECT_EQ(result.copy[count].bits, 0x7fff) << "past the end";
  }
}

TEST(AdamWKernels, NotANumberStaysNotANumber) {
  State state(9);
  state.gradient[3] = NAN;
  state.Update(/*with_copy=*/true, {});
  for (int64_t i = 0; i < 9; ++i) {
    EXPECT_EQ(std::isnan(state.w[i]), i == 3);
    EXPECT_EQ(std::isnan(state.m[i]), i == 3);
    EXPECT_EQ(std::isnan(state.v[i]), i == 3);
    EXPECT_EQ(std::isnan(device::ToFloat(state.copy[i])), i == 3);
  }
}

TEST(AdamWKernels, ValuesAreRoundedAsTheReferenceRoundsThem) {
  for (const int64_t count : kCounts) {
    std::vector<float> w = Random<float>(count, 1);
    w[0] = 1 + 3 * 0x1p-8f;  // halfway between neighbours
    std::vector<BFloat16> expected(count), copy = Unwritten(count + 16);
    reference::RoundToBFloat16<float>(testing_util::HostContext(), On(expected, {count}),
                                      On(w, {count}));
    emulation::Launch(emulation::Grid{Blocks(count, cuda::kAdamWPerBlock)}, cuda::kAdamWThreads,
                      /*shared_bytes=*/0, {}, cuda::RoundToBFloat16Kernel, copy.data(), w.data(),
                      count);
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(copy[i].bits, expected[i].bits) << i;
    EXPECT_EQ(copy[count].bits, 0x7fff) << "past the end";
  }
}

double SquaredNorm(const std::vector<float>& x, const emulation::Options& options) {
  const int64_t count = x.size();
  const int blocks = Blocks(count, cuda::kNormPerBlock);
  std::vector<double> partial(blocks, NAN);
  double sum = NAN;
  if (blocks > 0) {
    emulation::Launch(emulation::Grid{blocks}, cuda::kAdamWThreads, cuda::kSumSharedBytes, options,
                      cuda::SquaredNormPartialsKernel, partial.data(), x.data(), count);
  }
  emulation::Launch({}, cuda::kAdamWThreads, cuda::kSumSharedBytes, options,
                    cuda::AddSquaredNormsKernel, &sum, partial.data(), int64_t{blocks});
  return sum;
}

// Squares of small integers: every sum is exact, whatever its order.
TEST(SquaredNormKernels, SumEveryElementOnce) {
  for (const int64_t count : {0, 1, 255, 256, 257, 32767, 32768, 32769, 100003}) {
    std::vector<float> x(count);
    double expected = 0;
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(i % 101);
      expected += static_cast<double>(x[i]) * x[i];
    }
    EXPECT_EQ(SquaredNorm(x, {}), expected) << count;
  }
}

TEST(SquaredNormKernels, GiveTheSameBitsInEveryOrderOfThreads) {
  const std::vector<float> x = Random<float>(70001, 1);
  for (const emulation::Options& options : AllOptions()) {
    EXPECT_EQ(SquaredNorm(x, options), SquaredNorm(x, {}));
  }
}

TEST(ClipScaleKernel, AveragesAndClipsAsTheReference) {
  for (const double squared_norm :
       {64.0, 0.0, 1e30, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    for (const double max_norm : {0.0, 1.0, 4.0, 8.0}) {
      float scale = -1;
      std::vector<float> expected(1);
      std::vector<double> norm{squared_norm}, count{2};
      reference::ClipScale<float>(testing_util::HostContext(), On(expected, {1}), On(norm, {1}),
                                  On(count, {1}), max_norm);
      emulation::Launch({}, device::kWarpThreads, /*shared_bytes=*/0, {}, cuda::ClipScaleKernel,
                        &scale, &squared_norm, count.data(), max_norm);
      EXPECT_TRUE(scale == expected[0] || (std::isnan(scale) && std::isnan(expected[0])));
    }
  }
}

}  // namespace

}  // namespace treeformer
