#include "kernels/cross_entropy.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using testing_util::ExpectDerivative;

class CrossEntropy : public Float32Test {};

// Every fifth row is unused.
std::vector<int32_t> Targets(int64_t M, int64_t V) {
  std::vector<int32_t> target(M);
  for (int64_t m = 0; m < M; ++m) target[m] = m % 5 == 4 ? -1 : static_cast<int32_t>(m * 7 % V);
  return target;
}

TEST(CrossEntropyReference, TheGradientIsTheDerivativeOfTheLoss) {
  for (const Shape& shape : {Shape{1, 1}, Shape{6, 17}, Shape{3, 257}}) {
    const int64_t M = shape[0], V = shape[1];
    auto logits = Random<double>(M * V, 1), gradient = logits;
    auto target = Targets(M, V);
    std::vector<double> loss(M);
    std::vector<int32_t> correct(M);
    reference::SoftmaxCrossEntropy<double>(testing_util::HostContext(), On(loss, {M}),
                                           On(correct, {M}), On(gradient, shape), shape[1],
                                           On(target, {M}), /*gradient=*/true);
    auto total = [&] {
      reference::SoftmaxCrossEntropy<double>(testing_util::HostContext(), On(loss, {M}),
                                             On(correct, {M}), On(logits, shape), shape[1],
                                             On(target, {M}), /*gradient=*/false);
      return Dot(loss, std::vector<double>(M, 1));
    };
    ExpectDerivative(total, logits, gradient);
  }
}

// |logit| <= 20: z - max carries one rounding of 40, the exponential so many relative roundings and
// one of its own, and a sum of V such terms (64 in a row in a lane, at least four lanes) 300 more.
TEST_P(CrossEntropy, AgreesWithTheReference) {
  constexpr double kTermError = (40 + 4 + 300) * kRounding;
  for (const Shape& shape :
       {Shape{1, 1}, Shape{7, 2}, Shape{6, 17}, Shape{11, 257}, Shape{3, 3001}}) {
    SCOPED_TRACE(testing::Message() << shape);
    const int64_t M = shape[0], V = shape[1];
    auto logits = Random<float>(M * V, 1);
    for (float& z : logits) z *= 20;
    auto target = Targets(M, V);
    logits[target[0]] = 20;  // the first row is right
    auto expected = Wide(logits);
    std::vector<double> loss(M);
    std::vector<int32_t> correct(M);
    reference::SoftmaxCrossEntropy<double>(testing_util::HostContext(), On(loss, {M}),
                                           On(correct, {M}), On(expected, shape), shape[1],
                                           On(target, {M}), /*gradient=*/true);
    const Tensor<int32_t> target_on(ctx_, {M}, target), correct_on(ctx_, {M});
    const Tensor<float> logits_on(ctx_, shape, logits), loss_on(ctx_, {M});
    SoftmaxCrossEntropy(ctx_, loss_on, correct_on, logits_on, shape[1], target_on,
                        /*gradient=*/false);
    EXPECT_EQ(logits_on.values(), logits) << "without gradient the logits stay";
    const std::vector<float> without = loss_on.values();
    SoftmaxCrossEntropy(ctx_, loss_on, correct_on, logits_on, shape[1], target_on,
                        /*gradient=*/true);
    EXPECT_EQ(loss_on.values(), without);
    EXPECT_EQ(correct_on.values(), correct);
    EXPECT_EQ(correct_on.values()[0], 1);
    ExpectNear(loss_on.values(), loss, kTermError + 40 * kRounding, "loss");
    // relative to the softmax, plus the rounding of softmax - 1
    auto tolerance = [&](int64_t i) {
      const bool is_target = target[i / V] == i % V;
      return 2 * kTermError * std::abs(expected[i] + is_target) + kRounding * is_target + 1e-38;
    };
    ExpectNear(logits_on.values(), expected, tolerance, "gradient");
  }
}

TEST_P(CrossEntropy, TheLowestIndexWinsATie) {
  const Tensor<float> logits(ctx_, {3, 4}, {1, 5, 5, 0, 1, 5, 5, 0, 2, 2, 2, 2}), loss(ctx_, {3});
  const Tensor<int32_t> target(ctx_, {3}, {1, 2, 0}), correct(ctx_, {3});
  SoftmaxCrossEntropy(ctx_, loss, correct, logits, /*V=*/4, target, /*gradient=*/false);
  EXPECT_EQ(correct.values(), (std::vector<int32_t>{1, 0, 1}));
}

TEST_P(CrossEntropy, HugeLogitsDoNotOverflow) {
  const Tensor<float> logits(ctx_, {2, 3}, {1e30f, -1e30f, 0, -1e30f, -1e30f, -1e30f});
  const Tensor<float> loss(ctx_, {2});
  const Tensor<int32_t> target(ctx_, {2}, {0, 1}), correct(ctx_, {2});
  SoftmaxCrossEntropy(ctx_, loss, correct, logits, /*V=*/3, target, /*gradient=*/true);
  EXPECT_EQ(loss.values()[0], 0);
  EXPECT_NEAR(loss.values()[1], std::log(3.0), 4 * kRounding);
  EXPECT_EQ(logits.values()[0], 0);
}

TEST_P(CrossEntropy, AnUnusedRowHasNoLossAndNoGradient) {
  const Tensor<float> logits(ctx_, {1, 3}, {1, NAN, 3}), loss(ctx_, {1});
  const Tensor<int32_t> target(ctx_, {1}, {-100}), correct(ctx_, {1});
  SoftmaxCrossEntropy(ctx_, loss, correct, logits, /*V=*/3, target, /*gradient=*/true);
  EXPECT_EQ(loss.values()[0], 0);
  EXPECT_EQ(correct.values()[0], 0);
  EXPECT_EQ(logits.values(), (std::vector<float>{0, 0, 0}));
}

TEST_P(CrossEntropy, NotANumberInGivesNotANumberOut) {
  const Tensor<float> logits(ctx_, {1, 3}, {1, NAN, 3}), loss(ctx_, {1});
  const Tensor<int32_t> target(ctx_, {1}, {0}), correct(ctx_, {1});
  SoftmaxCrossEntropy(ctx_, loss, correct, logits, /*V=*/3, target, /*gradient=*/false);
  EXPECT_TRUE(std::isnan(loss.values()[0]));
}

TEST_P(CrossEntropy, RowsMayBeLongerThanTheirClasses) {
  const int64_t M = 7, V = 61, ld = 64;
  const auto logits = Random<float>(M * V, 1);
  const Tensor<float> plain(ctx_, {M, V}, logits), loss(ctx_, {M});
  const Tensor<float> padded(ctx_, {M, ld}, WithRowsOf(logits, V, ld)), padded_loss(ctx_, {M});
  const Tensor<int32_t> target(ctx_, {M}, Targets(M, V)), correct(ctx_, {M}), same(ctx_, {M});
  SoftmaxCrossEntropy(ctx_, loss, correct, plain, V, target, /*gradient=*/true);
  SoftmaxCrossEntropy(ctx_, padded_loss, same, padded, V, target, /*gradient=*/true);
  EXPECT_EQ(padded_loss.values(), loss.values());
  EXPECT_EQ(same.values(), correct.values());
  ExpectRowsOf(padded.values(), plain.values(), V, ld);
}

TEST_P(CrossEntropy, NoRowsAreNoWork) {
  const Tensor<float> logits(ctx_, {1, 3}, {1, 2, 3}), loss(ctx_, {1}, {7});
  const Tensor<int32_t> target(ctx_, {1}, {0}), correct(ctx_, {1}, {7});
  SoftmaxCrossEntropy(ctx_, Out(loss).Rows(0, 0), View<int32_t>(correct).Rows(0, 0),
                      Out(logits).Rows(0, 0), /*V=*/3, View<const int32_t>(target).Rows(0, 0),
                      /*gradient=*/true);
  EXPECT_EQ(loss.values()[0], 7);
  EXPECT_EQ(correct.values()[0], 7);
  EXPECT_EQ(logits.values(), (std::vector<float>{1, 2, 3}));
}

INSTANTIATE_BACKENDS(CrossEntropy);

TEST(CrossEntropyCpu, TheNumberOfThreadsChangesNoBit) {
  Context ctx = Context::Cpu();
  const auto z = Random<float>(40 * 1031, 1);
  const Tensor<int32_t> target(ctx, {40}, Targets(40, 1031)), correct(ctx, {40});
  const Tensor<float> loss(ctx, {40});
  ExpectSameBits([&] {
    const Tensor<float> logits(ctx, {40, 1031}, z);
    SoftmaxCrossEntropy(ctx, loss, correct, logits, /*V=*/1031, target, /*gradient=*/true);
    return logits.values();
  });
}

TEST(CrossEntropyDeathTest, WrongShapeOrClassDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> logits(ctx, {2, 3}), loss(ctx, {2});
  const Tensor<int32_t> rows(ctx, {2}, {0, 3}), three(ctx, {3});
  EXPECT_DEATH(SoftmaxCrossEntropy(ctx, loss, rows, logits, /*V=*/3, three, true), "target.shape");
  EXPECT_DEATH(SoftmaxCrossEntropy(ctx, loss, rows, logits, /*V=*/3, rows, true), "of 3 classes");
  EXPECT_DEATH(SoftmaxCrossEntropy(ctx, loss, rows, logits, /*V=*/4, rows, true), "V <= ");
}

}  // namespace

}  // namespace treeformer
