#include "kernels/tree/soft_tree.h"
#include "kernels/tree/soft_tree_kernels.cuh"
#include "tests/kernels/cuda/emulated_runner.h"
#include "tests/kernels/tree/soft_testing.h"

namespace {

using namespace emulated_testing;
using dense_testing::ExpectNear;
using dense_testing::kRounding;
using testing_util::Random;
using tree_testing::Eighths;
using tree_testing::On;
using tree_testing::SoftCase;
using tree_testing::TreeCase;

// One row; one past a tile of rows, of planes, of columns; more rows than a part sums.
std::vector<SoftCase> Cases() {
  return {{{1, 1, 1, 1, TreeShape::Binary(1), 1, false}, 1, false},
          {{2, 13, 2, 3, TreeShape::Binary(3), 1, true}, 2, false},
          {{1, 65, 3, 63, TreeShape::Binary(2), 1, true}, 1, false},
          {{1, 33, 2, 64, TreeShape::Binary(5), 1, true}, 2, true},
          {{1, 17, 1, 8, TreeShape::Binary(7), 1, false}, 1, false},
          {{2, 515, 1, 5, TreeShape::Binary(2), 1, false}, 1, false}};
}

struct Soft {
  explicit Soft(const SoftCase& s)
      : c(s.tree),
        P(c.shape.planes()),
        sizes{c.B, c.n, s.x_heads, c.H, c.e, c.shape.height(), s.same_effect},
        effect_shape{c.B, c.H, s.same_effect ? 1 : c.n, c.shape.leaves()},
        x_shape{c.B, c.n, s.x_heads, c.e},
        leaf(c.Leaves(1)),
        x(ToBFloat16(Eighths<float>(x_shape.count(), 2))),
        dx(ToBFloat16(Random<float>(x_shape.count(), 3))),
        effect(Random<float>(effect_shape.count(), 4)),
        weight(Eighths<float>(c.H * P * c.e, 5)),
        bias(Eighths<float>(c.H * P, 6)),
        strength(Random<float>(c.rows(), 7)),
        dweight(Random<float>(c.H * P * c.e, 8)),
        dbias(Random<float>(c.H * P, 9)) {
    for (float& value : strength) value = std::abs(value);
  }

  void Run(const emulation::Options& options) {
    EmulatedRunner runner(options);
    cuda::RunSoftTreeBackward(runner, dweight.data(), dbias.data(), dx.data(), effect.data(),
                              x.data(), weight.data(), bias.data(), strength.data(), leaf.data(),
                              sizes);
  }

  TreeCase c;
  int64_t P;
  cuda::SoftSizes sizes;
  Shape effect_shape, x_shape;
  std::vector<int32_t> leaf;
  std::vector<BFloat16> x, dx;
  std::vector<float> effect, weight, bias, strength, dweight, dbias;
};

struct Expected {
  std::vector<double> dweight, dbias, dx;

  explicit Expected(const Soft& soft)
      : dweight(soft.dweight.begin(), soft.dweight.end()),
        dbias(soft.dbias.begin(), soft.dbias.end()),
        dx(ToDouble(soft.dx)) {
    const TreeCase& c = soft.c;
    const Shape weights{c.H, soft.P, c.e}, planes{c.H, soft.P};
    const auto wide = dense_testing::Wide;
    const std::vector<double> effect = wide(soft.effect), x = ToDouble(soft.x);
    const std::vector<double> weight = wide(soft.weight), bias = wide(soft.bias);
    const std::vector<double> strength = wide(soft.strength);
    reference::SoftTreeBackward<double>(
        On(dweight, weights), On(dbias, planes), On(dx, soft.x_shape),
        On(effect, soft.effect_shape), On(x, soft.x_shape), On(weight, weights), On(bias, planes),
        On(strength, c.row_shape()), On(soft.leaf, c.row_shape()), c.shape);
  }
};

// |df| <= 2 s (1 + 1) max |effect| <= 4; pi and G carry about 3 roundings a level and 8 of the
// sigmoid.  A sum of `terms` of them and of |x|, |weight| <= 1: each term's own error, and a
// rounding of a partial sum at each of the additions.
double SumError(const Soft& soft, int64_t terms) {
  const double df = 4, roundings = 3 * soft.c.shape.height() + 8;
  return terms * df * (roundings + terms) * kRounding + kRounding;
}

void ExpectResults(const Soft& soft, const Expected& expected) {
  const int64_t rows = soft.c.B * soft.c.n;
  const double row_error = SumError(soft, soft.P * soft.c.H / soft.sizes.x_heads);
  ExpectNear(soft.dweight, expected.dweight, SumError(soft, rows), "dweight");
  ExpectNear(soft.dbias, expected.dbias, SumError(soft, rows), "dbias");
  ExpectNear(
      ToFloat(soft.dx), expected.dx,
      [&](int64_t i) { return row_error + kBFloat16Rounding * std::abs(expected.dx[i]); }, "dx");
}

TEST(SoftTreeKernels, AddTheReferencesGradients) {
  for (const SoftCase& s : Cases()) {
    SCOPED_TRACE(testing::Message() << s.tree);
    const Expected expected{Soft(s)};
    for (const emulation::Options& options : AllOptions()) {
      Soft soft(s);
      soft.Run(options);
      ExpectResults(soft, expected);
    }
  }
}

// With one row dbias is df itself, so that its error is that of one term.
TEST(SoftTreeKernels, OneRowGivesEveryPlanesOwnGradient) {
  for (const int height : {1, 2, 6}) {
    const SoftCase s{{1, 1, 1, 7, TreeShape::Binary(height), 1, false}, 1, false};
    Soft soft(s);
    std::fill(soft.dbias.begin(), soft.dbias.end(), 0.0f);
    std::fill(soft.dweight.begin(), soft.dweight.end(), 0.0f);
    const Expected expected(soft);
    soft.Run({});
    const double error = (3 * height + 8) * 4 * kRounding;
    ExpectNear(soft.dbias, expected.dbias, error, "dbias");
    for (int64_t t = 0; t < soft.P; ++t) {
      for (int64_t k = 0; k < 7; ++k) {
        EXPECT_EQ(soft.dweight[t * 7 + k], soft.dbias[t] * device::ToFloat(soft.x[k]));
      }
    }
  }
}

TEST(SoftTreeKernels, ARowOfNanPassesNoGradientAndHarmsNoOther) {
  for (const float strength : {NAN, INFINITY}) {
    Soft padded(Cases()[4]), broken(Cases()[4]);
    const Soft before = broken;
    for (const int64_t row : {0, 4, 16}) {
      padded.leaf[row] = -1;
      broken.strength[row] = strength;
      for (int64_t k = 0; k < 8; ++k) broken.x[row * 8 + k] = BFloat16{0x7fff};
    }
    padded.Run({});
    broken.Run({});
    EXPECT_EQ(broken.dweight, padded.dweight);
    EXPECT_EQ(broken.dbias, padded.dbias);
    EXPECT_EQ(ToFloat(broken.dx), ToFloat(padded.dx));
    for (int64_t k = 4 * 8; k < 5 * 8; ++k) EXPECT_EQ(broken.dx[k].bits, before.dx[k].bits);
  }
}

TEST(BalanceKernel, IsTheReferenceForAnyNumberOfLeaves) {
  for (const int64_t n : {1, 255, 257, 1031}) {
    for (const int64_t leaves : {1, 4, 2048, 2049}) {
      const int64_t trees = 2;
      std::vector<int32_t> leaf =
          tree_testing::RandomLeaves(trees * n, static_cast<int>(leaves), /*seed=*/3);
      for (int64_t i = 0; i < n; ++i) {
        if (i % 5 == 0) leaf[i] = -1;
        if (n == 255) leaf[n + i] = -1;  // nothing but padding
      }
      if (n == 257) tree_testing::Collapse(leaf, static_cast<int32_t>(leaves) - 1);
      std::vector<double> expected(trees * leaves);
      std::vector<float> effect(trees * leaves, NAN);
      reference::BalanceEffect<double>(On(expected, {trees, 1, 1, leaves}),
                                       On(std::as_const(leaf), {trees, 1, n}), /*weight=*/0.7f);
      for (const unsigned seed : {1, 2}) {
        EmulatedRunner runner({seed});
        cuda::RunBalanceEffect(runner, effect.data(), leaf.data(), trees, n, leaves,
                               /*weight=*/0.7f);
        ExpectNear(
            effect, expected, [&](int64_t i) { return 6 * kRounding * expected[i]; }, "effect");
      }
    }
  }
}

}  // namespace
