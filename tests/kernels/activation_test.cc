#include "kernels/activation.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using testing_util::ExpectDerivative;

class Gelu : public Float32Test {};

// From far below to far above, with both signs of zero.
std::vector<float> Inputs(int64_t count) {
  std::vector<float> x = Random<float>(count, 1);
  for (int64_t i = 0; i < count; ++i) x[i] *= i % 3 == 0 ? 0.01f : i % 3 == 1 ? 1 : 11;
  if (count > 1) x[0] = 0, x[1] = -0.0f;
  return x;
}

// Relative to x Phi(x): rounding a^2 / 2, the argument of exp, gives a^2 / 2 roundings; exp itself,
// u, the polynomial's ten steps (|u| <= 1, coefficients falling), two products and a
// difference: 12. 1e-38: below it floats lose bits.
double PhiError(double x) { return (x * x / 2 + 12) * kRounding; }

TEST(GeluReference, BackwardIsTheDerivativeOfForward) {
  const Shape shape{101};
  auto x = Random<double>(101, 1), dy = Random<double>(101, 2);
  for (double& value : x) value *= 4;
  std::vector<double> y(101), dx(101);
  auto loss = [&] {
    reference::GeluForward<double>(testing_util::HostContext(), On(y, shape), On(x, shape));
    return Dot(y, dy);
  };
  reference::GeluBackward<double>(testing_util::HostContext(), On(dx, shape), On(dy, shape),
                                  On(x, shape));
  ExpectDerivative(loss, x, dx);
}

TEST_P(Gelu, ForwardKeepsItsRelativeAccuracyFarBelowZero) {
  for (int64_t count : {0, 1, 7, 16, 17, 257, 16385}) {
    const Shape shape{count};
    const std::vector<float> x = Inputs(count);
    std::vector<double> x64 = Wide(x), expected(count);
    reference::GeluForward<double>(testing_util::HostContext(), On(expected, shape),
                                   On(x64, shape));
    const Tensor<float> x_on(ctx_, shape, x), y(ctx_, shape);
    GeluForward(ctx_, y, x_on);
    auto tolerance = [&](int64_t i) { return PhiError(x[i]) * std::abs(expected[i]) + 1e-38; };
    ExpectNear(y.values(), expected, tolerance, "y");
  }
}

// dx = dy (Phi + x phi): the two terms may cancel, so the error is relative to their magnitudes.
TEST_P(Gelu, BackwardAgreesWithTheReferenceAndMayBeInPlace) {
  for (int64_t count : {0, 1, 7, 16, 17, 257, 16385}) {
    const Shape shape{count};
    const std::vector<float> x = Inputs(count), dy = Random<float>(count, 2);
    std::vector<double> x64 = Wide(x), dy64 = Wide(dy), expected(count);
    reference::GeluBackward<double>(testing_util::HostContext(), On(expected, shape),
                                    On(dy64, shape), On(x64, shape));
    const Tensor<float> x_on(ctx_, shape, x), dy_on(ctx_, shape, dy), dx(ctx_, shape);
    GeluBackward(ctx_, dx, dy_on, x_on);
    auto tolerance = [&](int64_t i) {
      const double cdf = std::erfc(-x64[i] / std::sqrt(2.0)) / 2;
      const double x_density = std::abs(x64[i]) * 0.3989422804 * std::exp(-x64[i] * x64[i] / 2);
      return (PhiError(x[i]) + 3 * kRounding) * std::abs(dy[i]) * (cdf + x_density) + 1e-38;
    };
    ExpectNear(dx.values(), expected, tolerance, "dx");
    GeluBackward(ctx_, dy_on, dy_on, x_on);
    EXPECT_EQ(dy_on.values(), dx.values());
  }
}

TEST_P(Gelu, KnowsItsLimits) {
  const Tensor<float> x(ctx_, {4}, {NAN, INFINITY, 200, -200}), y(ctx_, {4});
  GeluForward(ctx_, y, x);
  EXPECT_TRUE(std::isnan(y.values()[0]));
  EXPECT_EQ(y.values()[1], INFINITY);
  EXPECT_EQ(y.values()[2], 200);
  EXPECT_EQ(y.values()[3], 0);
}

INSTANTIATE_BACKENDS(Gelu);

TEST(GeluDeathTest, WrongShapeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> x(ctx, {2, 3}), y(ctx, {3, 2});
  EXPECT_DEATH(GeluForward(ctx, y, x), "y.shape");
  EXPECT_DEATH(GeluBackward(ctx, x, y, x), "dy.shape");
}

}  // namespace

}  // namespace treeformer
