#include "kernels/cross_entropy.h"
#include "kernels/cross_entropy_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

struct Result {
  std::vector<float> loss;
  std::vector<int32_t> correct;
  std::vector<BFloat16> logits;
};

// Behind each row lie `gap` elements that nobody may use.
Result CrossEntropy(const std::vector<BFloat16>& logits, const std::vector<int32_t>& target,
                    bool gradient, const emulation::Options& options = {}, int gap = 0) {
  const int M = target.size(), V = logits.size() / M, ld = V + gap;
  const BFloat16 unwritten = Unwritten(1)[0];
  Result result{std::vector<float>(M, NAN), std::vector<int32_t>(M, -1),
                WithRowsOf(logits, V, ld, unwritten)};
  result.logits.insert(result.logits.end(), 16, unwritten);
  emulation::Launch(emulation::Grid{M}, cuda::kCrossEntropyThreads, cuda::kCrossEntropySharedBytes,
                    options, cuda::CrossEntropyKernel, result.loss.data(), result.correct.data(),
                    result.logits.data(), target.data(), V, int64_t{ld}, gradient);
  std::vector<BFloat16> rows;
  for (int64_t i = 0; i < int64_t{M} * ld + 16; ++i) {
    if (i < int64_t{M} * ld && i % ld < V) {
      rows.push_back(result.logits[i]);
    } else {
      EXPECT_EQ(result.logits[i].bits, 0x7fff) << "past the end of a row";
    }
  }
  result.logits = std::move(rows);
  return result;
}

// Every fifth row is unused.
std::vector<int32_t> Targets(int64_t M, int64_t V) {
  std::vector<int32_t> target(M);
  for (int64_t m = 0; m < M; ++m) target[m] = m % 5 == 4 ? -1 : static_cast<int32_t>(m * 7 % V);
  return target;
}

std::vector<BFloat16> Logits(int64_t count) {
  std::vector<float> logits = Random<float>(count, 1);
  for (float& z : logits) z *= 20;
  return ToBFloat16(logits);
}

// |logit| <= 20, so exp's argument is up to 40: rounded twice, an exponential of 2 + |x| ulp, as
// often again where a thread's largest changes and in the end; sums of V / 256 terms and 256 sums.
constexpr double TermError(int64_t V) { return (3 * (3 * 40 + 6) + V / 256 + 16) * kRounding; }

// Rows begin at every alignment when V is odd; one past a block's columns.
const Shape kSizes[] = {{1, 1}, {9, 2}, {9, 7}, {6, 17}, {3, 8}, {11, 257}, {3, 2057}, {2, 4104}};

TEST(CrossEntropyKernels, AreTheReferenceRoundedToBFloat16) {
  for (const Shape& shape : kSizes) {
    SCOPED_TRACE(testing::Message() << shape);
    const int64_t M = shape[0], V = shape[1];
    std::vector<BFloat16> logits = Logits(M * V);
    const std::vector<int32_t> target = Targets(M, V);
    logits[target[0]] = device::ToBFloat16(20);  // the first row is right
    std::vector<double> expected = ToDouble(logits), loss(M);
    std::vector<int32_t> correct(M), targets = target;
    reference::SoftmaxCrossEntropy<double>(testing_util::HostContext(), On(loss, {M}),
                                           On(correct, {M}), On(expected, shape), shape[1],
                                           On(targets, {M}), /*gradient=*/true);
    for (const emulation::Options& options : AllOptions()) {
      const Result without = CrossEntropy(logits, target, /*gradient=*/false, options);
      EXPECT_EQ(ToFloat(without.logits), ToFloat(logits)) << "without gradient the logits stay";
      const Result with = CrossEntropy(logits, target, /*gradient=*/true, options);
      EXPECT_EQ(with.loss, without.loss);
      EXPECT_EQ(with.correct, correct);
      ExpectNear(with.loss, loss, TermError(V) + 40 * kRounding, "loss");
      const auto tolerance = [&](int64_t i) {
        const bool is_target = target[i / V] == i % V;
        return 2 * TermError(V) * std::abs(expected[i] + is_target) + kRounding * is_target +
               kBFloat16Rounding * std::abs(expected[i]) + 1e-38;
      };
      ExpectNear(ToFloat(with.logits), expected, tolerance, "gradient");
    }
  }
}

TEST(CrossEntropyKernels, RowsMayBeLongerThanTheirClasses) {
  for (const int V : {1, 61, 2050}) {
    const auto logits = Logits(5 * V);
    const std::vector<int32_t> target = Targets(5, V);
    const Result plain = CrossEntropy(logits, target, /*gradient=*/true);
    const Result apart =
        CrossEntropy(logits, target, /*gradient=*/true, /*options=*/{}, /*gap=*/64 - V % 64);
    EXPECT_EQ(apart.correct, plain.correct);
    for (int m = 0; m < 5; ++m) {  // another alignment, so another order of summation
      EXPECT_NEAR(apart.loss[m], plain.loss[m], 2 * (TermError(V) + 40 * kRounding));
    }
  }
}

TEST(CrossEntropyKernels, TheLowestIndexWinsATieWhoeverHasIt) {
  const int V = 2057;
  std::vector<BFloat16> logits = ToBFloat16(std::vector<float>(4 * V, 1));
  for (const int c : {5, 1030, 2056}) logits[V + c] = device::ToBFloat16(2);
  for (const int c : {1030, 2056}) logits[2 * V + c] = device::ToBFloat16(2);
  for (const int c : {0, 2056}) logits[3 * V + c] = device::ToBFloat16(2);
  EXPECT_EQ(CrossEntropy(logits, {0, 5, 1030, 0}, false).correct,
            (std::vector<int32_t>{1, 1, 1, 1}));
  EXPECT_EQ(CrossEntropy(logits, {1, 1030, 2056, 2056}, false).correct,
            (std::vector<int32_t>{0, 0, 0, 0}));
}

TEST(CrossEntropyKernels, HugeLogitsDoNotOverflow) {
  const Result result =
      CrossEntropy(ToBFloat16({1e30f, -1e30f, 0, -1e30f, -1e30f, -1e30f}), {0, 1}, true);
  EXPECT_EQ(result.loss[0], 0);
  EXPECT_NEAR(result.loss[1], std::log(3.0), 4 * kRounding);
  EXPECT_EQ(ToFloat(result.logits)[0], 0);
}

TEST(CrossEntropyKernels, AnUnusedRowHasNoLossAndNoGradient) {
  const Result result = CrossEntropy(ToBFloat16({1, NAN, 3}), {-100}, true);
  EXPECT_EQ(result.loss[0], 0);
  EXPECT_EQ(result.correct[0], 0);
  EXPECT_EQ(ToFloat(result.logits), (std::vector<float>{0, 0, 0}));
}

TEST(CrossEntropyKernels, NotANumberOrNoSuchClassGivesNotANumber) {
  EXPECT_TRUE(std::isnan(CrossEntropy(ToBFloat16({1, NAN, 3}), {0}, false).loss[0]));
  const Result result = CrossEntropy(ToBFloat16({1, 2, 3}), {3}, false);
  EXPECT_TRUE(std::isnan(result.loss[0]));
  EXPECT_EQ(result.correct[0], 0);
}

}  // namespace

}  // namespace treeformer
