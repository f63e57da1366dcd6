#include "kernels/matmul/linear.h"

#include <array>

#include "tests/kernels/linear_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using testing_util::ExpectDerivative;

class Linear : public Float32Test {};

struct Size {
  int64_t N, I, O;
};

std::ostream& operator<<(std::ostream& out, const Size& size) {
  return out << "N " << size.N << " I " << size.I << " O " << size.O;
}

// The last three are cut on a CPU: into large tiles, small tiles, tiles and slabs (dw).
const Size kSizes[] = {{1, 1, 1},      {1, 7, 5},       {7, 1, 3},    {17, 31, 13},
                       {33, 65, 129},  {67, 129, 1025}, {4099, 9, 6}, {2100, 9, 1601},
                       {257, 70, 300}, {777, 70, 1100}};

TEST(LinearReference, BackwardIsTheDerivativeOfForward) {
  for (const auto& [N, I, O] : {Size{1, 1, 1}, Size{7, 5, 3}, Size{17, 31, 13}}) {
    auto x = Random<double>(N * I, 1), w = Random<double>(O * I, 2), bias = Random<double>(O, 3);
    auto dy = Random<double>(N * O, 4);
    std::vector<double> y(N * O), dx(N * I), dw(O * I), dbias(O);
    auto loss = [&] {
      reference::LinearForward<double>(testing_util::HostContext(), On(y, {N, O}), On(x, {N, I}),
                                       On(w, {O, I}), On(bias, {O}));
      return Dot(y, dy);
    };
    reference::LinearBackwardInput<double>(testing_util::HostContext(), On(dx, {N, I}),
                                           On(dy, {N, O}), On(w, {O, I}), false);
    reference::LinearBackwardWeights<double>(testing_util::HostContext(), On(dw, {O, I}),
                                             On(dbias, {O}), On(dy, {N, O}), On(x, {N, I}));
    ExpectDerivative(loss, x, dx);
    ExpectDerivative(loss, w, dw);
    ExpectDerivative(loss, bias, dbias);
  }
}

struct Operands {
  explicit Operands(const Size& size)
      : x(Random<float>(size.N * size.I, 1)),
        w(Random<float>(size.O * size.I, 2)),
        bias(Random<float>(size.O, 3)),
        dy(Random<float>(size.N * size.O, 4)) {}
  std::vector<float> x, w, bias, dy;
};

TEST_P(Linear, ForwardAgreesWithTheReferenceWithAndWithoutBiasAndGelu) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(testing::Message() << size);
    const auto& [N, I, O] = size;
    const Operands in(size);
    auto x = Wide(in.x), w = Wide(in.w), bias = Wide(in.bias);
    std::vector<double> expected(N * O), gelu(N * O), plain(N * O);
    reference::LinearForward<double>(testing_util::HostContext(), On(plain, {N, O}), On(x, {N, I}),
                                     On(w, {O, I}), {});
    reference::LinearGeluForward<double>(testing_util::HostContext(), On(gelu, {N, O}),
                                         On(expected, {N, O}), On(x, {N, I}), On(w, {O, I}),
                                         On(bias, {O}));
    const Tensor<float> x_on(ctx_, {N, I}, in.x), w_on(ctx_, {O, I}, in.w);
    const Tensor<float> bias_on(ctx_, {O}, in.bias), y(ctx_, {N, O}), pre(ctx_, {N, O});
    const double error = DotTolerance(I + 1);
    LinearForward(ctx_, y, x_on, w_on, {});
    ExpectNear(y.values(), plain, error, "y without bias");
    LinearForward(ctx_, y, x_on, w_on, bias_on);
    ExpectNear(y.values(), expected, error, "y");
    LinearGeluForward(ctx_, y, pre, x_on, w_on, bias_on);
    ExpectNear(pre.values(), expected, error, "pre");
    // the derivative of gelu is at most 1.13
    auto tolerance = [&](int64_t i) { return 1.13 * error + 16 * kRounding * std::abs(gelu[i]); };
    ExpectNear(y.values(), gelu, tolerance, "gelu");
  }
}

TEST_P(Linear, BackwardAgreesWithTheReferenceAndAccumulates) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(testing::Message() << size);
    const auto& [N, I, O] = size;
    const Operands in(size);
    auto x = Wide(in.x), w = Wide(in.w), dy = Wide(in.dy);
    std::vector<double> dx(N * I), dw = w, dbias = Wide(in.bias);
    reference::LinearBackwardInput<double>(testing_util::HostContext(), On(dx, {N, I}),
                                           On(dy, {N, O}), On(w, {O, I}), false);
    reference::LinearBackwardWeights<double>(testing_util::HostContext(), On(dw, {O, I}),
                                             On(dbias, {O}), On(dy, {N, O}), On(x, {N, I}));
    const Tensor<float> x_on(ctx_, {N, I}, in.x), w_on(ctx_, {O, I}, in.w);
    const Tensor<float> dy_on(ctx_, {N, O}, in.dy), dx_on(ctx_, {N, I});
    const Tensor<float> dw_on(ctx_, {O, I}, in.w), dbias_on(ctx_, {O}, in.bias);
    LinearBackwardInput(ctx_, dx_on, dy_on, w_on, /*accumulate=*/false);
    ExpectNear(dx_on.values(), dx, DotTolerance(O), "dx");
    LinearBackwardInput(ctx_, dx_on, dy_on, w_on, /*accumulate=*/true);
    for (double& value : dx) value *= 2;
    ExpectNear(dx_on.values(), dx, 3 * DotTolerance(O), "dx, twice");
    LinearBackwardWeights(ctx_, dw_on, dbias_on, dy_on, x_on);
    ExpectNear(dw_on.values(), dw, DotTolerance(N + 1), "dw");
    ExpectNear(dbias_on.values(), dbias, DotTolerance(N + 1), "dbias");
  }
}

TEST_P(Linear, GemmDoesEveryTransposition) {
  ExpectEveryTransposition(ctx_, /*K=*/23);
  ExpectEveryTransposition(ctx_, /*K=*/1023);  // on a CPU in slabs
}

TEST_P(Linear, AnEmptySumIsTheBias) {
  const Tensor<float> x(ctx_, {2, 0}), w(ctx_, {3, 0}), bias(ctx_, {3}, {1, 2, 3}), y(ctx_, {2, 3});
  LinearForward(ctx_, y, x, w, bias);
  EXPECT_EQ(y.values(), (std::vector<float>{1, 2, 3, 1, 2, 3}));
  Gemm(ctx_, y, {x, Transpose::kNo, w, Transpose::kYes, /*alpha=*/1, /*beta=*/2});
  EXPECT_EQ(y.values(), (std::vector<float>{2, 4, 6, 2, 4, 6}));
  LinearBackwardWeights(ctx_, w, bias, y, x);
  EXPECT_EQ(bias.values(), (std::vector<float>{5, 10, 15}));
}

TEST_P(Linear, NoRowsAreNoWork) {
  const Tensor<float> x(ctx_, {0, 2}), y(ctx_, {0, 1}), dw(ctx_, {1, 2}, {3, 4});
  LinearForward(ctx_, y, x, dw, {});
  LinearBackwardWeights(ctx_, dw, {}, y, x);
  EXPECT_EQ(dw.values(), (std::vector<float>{3, 4}));
}

INSTANTIATE_BACKENDS(Linear);

class LinearIn : public testing::TestWithParam<MatmulPrecision> {};
INSTANTIATE_TEST_SUITE_P(Precisions, LinearIn,
                         testing::Values(MatmulPrecision::kFloat32, MatmulPrecision::kBFloat16));

// Widths of one tile and of several; the vocabulary of BERT, whose rows are 30,528 long.
TEST_P(LinearIn, RowsOfYMayBeLongerThanItsColumns) {
  Context ctx = Context::Cpu(GetParam());
  for (const Size& size :
       {Size{1, 1, 1}, Size{17, 31, 61}, Size{2100, 9, 1601}, Size{33, 16, 30522}}) {
    SCOPED_TRACE(testing::Message() << size);
    const auto& [N, I, O] = size;
    const int64_t ld = (O + 63) / 64 * 64;
    const Operands in(size);
    const Tensor<float> x(ctx, {N, I}, in.x), w(ctx, {O, I}, in.w), bias(ctx, {O}, in.bias);
    const Tensor<float> y(ctx, {N, O}), apart(ctx, {N, ld});
    LinearForward(ctx, y, x, w, bias);
    LinearForward(ctx, apart, x, w, bias);
    ExpectRowsOf(apart.values(), y.values(), O, ld);
    const auto backward = [&](const Tensor<float>& dy) {
      const Tensor<float> dx(ctx, {N, I}), dw(ctx, {O, I}, in.w), dbias(ctx, {O}, in.bias);
      LinearBackwardInput(ctx, dx, dy, w, /*accumulate=*/false);
      LinearBackwardWeights(ctx, dw, dbias, dy, x);
      return std::array{dx.values(), dw.values(), dbias.values()};
    };
    EXPECT_EQ(backward(Tensor<float>(ctx, {N, ld}, WithRowsOf(in.dy, O, ld))),
              backward(Tensor<float>(ctx, {N, O}, in.dy)));
  }
}

// Shapes for which oneDNN, left to itself, cuts the sum over k by the number of threads.
TEST_P(LinearIn, TheNumberOfThreadsChangesNoBit) {
  Context ctx = Context::Cpu(GetParam());
  for (const Size& size : {Size{64, 4096, 256}, Size{1, 768, 64}, Size{4096, 64, 64},
                           Size{777, 70, 1100}, Size{2100, 9, 1601}}) {
    SCOPED_TRACE(testing::Message() << size);
    const auto& [N, I, O] = size;
    const Operands in(size);
    const Tensor<float> x(ctx, {N, I}, in.x), w(ctx, {O, I}, in.w), dy(ctx, {N, O}, in.dy);
    const Tensor<float> y(ctx, {N, O}), dx(ctx, {N, I});
    ExpectSameBits([&] {
      LinearForward(ctx, y, x, w, {});
      return y.values();
    });
    ExpectSameBits([&] {
      LinearBackwardInput(ctx, dx, dy, w, /*accumulate=*/false);
      return dx.values();
    });
    ExpectSameBits([&] {
      const Tensor<float> dw(ctx, {O, I}, in.w), dbias(ctx, {O}, in.bias);
      LinearBackwardWeights(ctx, dw, dbias, dy, x);
      std::vector<float> both = dw.values();
      for (float value : dbias.values()) both.push_back(value);
      return both;
    });
  }
}

// Every operand is rounded once: the reference on rounded operands, to the precision of float32.
TEST(LinearCpu, InBFloat16OnlyTheOperandsAreRounded) {
  Context ctx = Context::Cpu(MatmulPrecision::kBFloat16);
  for (const Size& size : kSizes) {
    SCOPED_TRACE(testing::Message() << size);
    const auto& [N, I, O] = size;
    const Operands in(size);
    auto x = Wide(AsBFloat16(in.x)), w = Wide(AsBFloat16(in.w)), dy = Wide(AsBFloat16(in.dy));
    auto bias = Wide(in.bias), dy_float = Wide(in.dy);
    std::vector<double> y(N * O), dx(N * I), dw = Wide(in.w), dbias = bias;
    reference::LinearForward<double>(testing_util::HostContext(), On(y, {N, O}), On(x, {N, I}),
                                     On(w, {O, I}), On(bias, {O}));
    reference::LinearBackwardInput<double>(testing_util::HostContext(), On(dx, {N, I}),
                                           On(dy, {N, O}), On(w, {O, I}), false);
    reference::LinearBackwardWeights<double>(testing_util::HostContext(), On(dw, {O, I}), {},
                                             On(dy, {N, O}), On(x, {N, I}));
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t o = 0; o < O; ++o) dbias[o] += dy_float[n * O + o];
    }
    const Tensor<float> x_on(ctx, {N, I}, in.x), w_on(ctx, {O, I}, in.w), dy_on(ctx, {N, O}, in.dy);
    const Tensor<float> bias_on(ctx, {O}, in.bias), y_on(ctx, {N, O}), dx_on(ctx, {N, I});
    const Tensor<float> dw_on(ctx, {O, I}, in.w), dbias_on(ctx, {O}, in.bias);
    LinearForward(ctx, y_on, x_on, w_on, bias_on);
    LinearBackwardInput(ctx, dx_on, dy_on, w_on, /*accumulate=*/false);
    LinearBackwardWeights(ctx, dw_on, dbias_on, dy_on, x_on);
    ExpectNear(y_on.values(), y, DotTolerance(I + 1), "y");
    ExpectNear(dx_on.values(), dx, DotTolerance(O), "dx");
    ExpectNear(dw_on.values(), dw, DotTolerance(N + 1), "dw");
    ExpectNear(dbias_on.values(), dbias, DotTolerance(N + 1), "dbias");
  }
}

TEST(LinearCpu, WorksInsideAParallelRegion) {
  const Operands in({64, 32, 48});
  std::vector<std::vector<float>> results(4);
#pragma omp parallel for
  for (int i = 0; i < 4; ++i) {
    Context ctx = Context::Cpu();
    const Tensor<float> x(ctx, {64, 32}, in.x), w(ctx, {48, 32}, in.w), y(ctx, {64, 48});
    LinearForward(ctx, y, x, w, {});
    results[i] = y.values();
  }
  for (int i = 1; i < 4; ++i) EXPECT_EQ(results[0], results[i]);
}

TEST(LinearDeathTest, WrongShapeOrTypeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> x(ctx, {2, 3}), w(ctx, {4, 3}), y(ctx, {2, 4}), bias(ctx, {3});
  const Tensor<double> y64(ctx, {2, 4});
  EXPECT_DEATH(LinearForward(ctx, y, x, x, {}), "Check failed");
  EXPECT_DEATH(LinearForward(ctx, y, x, w, bias), "bias.shape");
  EXPECT_DEATH(LinearForward(ctx, y64, x, w, {}), "wrong element type");
  EXPECT_DEATH(Gemm(ctx, y, {.a = x, .b = w}), "times");
}

}  // namespace

}  // namespace treeformer
