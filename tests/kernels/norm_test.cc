#include "kernels/norm.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using testing_util::AwkwardMatrices;
using testing_util::ExpectDerivative;
using testing_util::SumTolerance;

class LayerNorm : public Float32Test {};

constexpr float kEpsilon = 1e-2f;

TEST(LayerNormReference, BackwardIsTheDerivativeOfForward) {
  for (const Shape& shape : AwkwardMatrices()) {
    SCOPED_TRACE(testing::Message() << shape);
    const int64_t N = shape[0], C = shape[1];
    auto x = Random<double>(N * C, 1), gamma = Random<double>(C, 2), beta = Random<double>(C, 3);
    auto dy = Random<double>(N * C, 4);
    std::vector<double> y(N * C), mean(N), rstd(N), dx(N * C), dgamma(C), dbeta(C);
    auto loss = [&] {
      reference::LayerNormForward<double>(testing_util::HostContext(), On(y, shape), On(mean, {N}),
                                          On(rstd, {N}), On(x, shape), On(gamma, {C}),
                                          On(beta, {C}), kEpsilon);
      return Dot(dy, y);
    };
    loss();
    reference::LayerNormBackward<double>(
        testing_util::HostContext(), {On(dx, shape), On(dgamma, {C}), On(dbeta, {C})},
        On(dy, shape), On(x, shape), On(gamma, {C}), On(mean, {N}), On(rstd, {N}));
    ExpectDerivative(loss, x, dx);
    ExpectDerivative(loss, gamma, dgamma);
    ExpectDerivative(loss, beta, dbeta);
  }
}

struct Operands {
  explicit Operands(const Shape& shape)
      : N(shape[0]),
        C(shape[1]),
        x(Random<float>(N * C, 1)),
        gamma(Random<float>(C, 2)),
        beta(Random<float>(C, 3)),
        dy(Random<float>(N * C, 4)) {
    for (float& value : x) value += 3;  // a mean above the spread
  }
  int64_t N, C;
  std::vector<float> x, gamma, beta, dy;
};

struct Results {
  std::vector<float> y, mean, rstd, dx, dgamma, dbeta;
};

// dgamma and dbeta start as gamma and beta: they are added to.
Results Compute(Context& ctx, const Operands& in, bool in_place = false) {
  const Shape matrix{in.N, in.C}, rows{in.N}, channels{in.C};
  const Tensor<float> x(ctx, matrix, in.x), dy(ctx, matrix, in.dy), y(ctx, matrix);
  const Tensor<float> gamma(ctx, channels, in.gamma), beta(ctx, channels, in.beta);
  const Tensor<float> dgamma(ctx, channels, in.gamma), dbeta(ctx, channels, in.beta);
  const Tensor<float> mean(ctx, rows), rstd(ctx, rows), dx(ctx, matrix);
  LayerNormForward(ctx, y, mean, rstd, x, gamma, beta, kEpsilon);
  LayerNormBackward(ctx, {in_place ? dy : dx, dgamma, dbeta}, dy, x, gamma, mean, rstd);
  return {y.values(),      mean.values(), rstd.values(), in_place ? dy.values() : dx.values(),
          dgamma.values(), dbeta.values()};
}

// |x| <= 4, so the mean is off by SumTolerance(C, 4) / C at most, less than 8 roundings of 4;
// 1/rstd
// >= 0.1 (kEpsilon), |n| <= 20 only in rows of one or two, where the sums are short.
TEST_P(LayerNorm, AgreesWithTheReference) {
  for (const Shape& shape : AwkwardMatrices()) {
    SCOPED_TRACE(testing::Message() << shape);
    const Operands in(shape);
    const int64_t N = in.N, C = in.C;
    const Results results = Compute(ctx_, in);
    auto x = Wide(in.x), gamma = Wide(in.gamma), beta = Wide(in.beta), dy = Wide(in.dy);
    std::vector<double> y(N * C), mean(N), rstd(N), dx(N * C), dgamma = gamma, dbeta = beta;
    reference::LayerNormForward<double>(testing_util::HostContext(), On(y, shape), On(mean, {N}),
                                        On(rstd, {N}), On(x, shape), On(gamma, {C}), On(beta, {C}),
                                        kEpsilon);
    reference::LayerNormBackward<double>(
        testing_util::HostContext(), {On(dx, shape), On(dgamma, {C}), On(dbeta, {C})},
        On(dy, shape), On(x, shape), On(gamma, {C}), On(mean, {N}), On(rstd, {N}));
    const double r = *std::max_element(rstd.begin(), rstd.end());
    const double mean_error = 32 * kRounding, n_error = r * 2 * mean_error;
    ExpectNear(results.mean, mean, mean_error, "mean");
    ExpectNear(results.rstd, rstd, r * (SumTolerance(1, 4) + n_error), "rstd");
    ExpectNear(results.y, y, 2 * n_error + 16 * kRounding, "y");
    // dx: three terms of at most r (1 + |n|), |n| <= 2; each carries the error of n
    ExpectNear(results.dx, dx, 8 * r * n_error + 16 * r * kRounding, "dx");
    const double sum_error = 4 * DotTolerance(N + 1) + N * n_error;
    ExpectNear(results.dgamma, dgamma, sum_error, "dgamma");
    ExpectNear(results.dbeta, dbeta, DotTolerance(N + 1), "dbeta");
  }
}

TEST_P(LayerNorm, BackwardMayBeInPlace) {
  const Operands in({17, 31});
  EXPECT_EQ(Compute(ctx_, in).dx, Compute(ctx_, in, /*in_place=*/true).dx);
}

TEST_P(LayerNorm, AConstantRowGivesBeta) {
  const Tensor<float> x(ctx_, {2, 3}, std::vector<float>(6, 3)), y(ctx_, {2, 3});
  const Tensor<float> gamma(ctx_, {3}, {1, 2, 3}), beta(ctx_, {3}, {4, 5, 6});
  const Tensor<float> mean(ctx_, {2}), rstd(ctx_, {2});
  LayerNormForward(ctx_, y, mean, rstd, x, gamma, beta, kEpsilon);
  EXPECT_EQ(y.values(), (std::vector<float>{4, 5, 6, 4, 5, 6}));
}

TEST_P(LayerNorm, NoRowsAreNoWork) {
  const Results results = Compute(ctx_, Operands({0, 5}));
  EXPECT_EQ(results.dgamma, Operands({0, 5}).gamma);
}

INSTANTIATE_BACKENDS(LayerNorm);

TEST(LayerNormCpu, TheNumberOfThreadsChangesNoBit) {
  Context ctx = Context::Cpu();
  const Operands in({1031, 67});
  ExpectSameBits([&] { return Compute(ctx, in).dx; });
  ExpectSameBits([&] { return Compute(ctx, in).dgamma; });
  ExpectSameBits([&] { return Compute(ctx, in).dbeta; });
}

TEST(LayerNormDeathTest, WrongShapeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> x(ctx, {2, 3}), channels(ctx, {3}), rows(ctx, {2});
  EXPECT_DEATH(LayerNormForward(ctx, x, rows, rows, x, rows, channels, kEpsilon), "gamma.shape");
  EXPECT_DEATH(LayerNormForward(ctx, x, channels, rows, x, channels, channels, kEpsilon),
               "mean.shape");
  EXPECT_DEATH(LayerNormBackward(ctx, {x, channels, rows}, x, x, channels, rows, rows),
               "dbeta.shape");
}

}  // namespace

}  // namespace treeformer
