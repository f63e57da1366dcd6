#include "kernels/tree/dense/soft_tree_kernels.cuh"
#include "tests/kernels/cuda/emulated_runner.h"
#include "tests/kernels/cuda/soft_case.h"

namespace treeformer {

namespace {

using namespace soft_case;

// The operands, and the launches of the kernels.
struct Soft : soft_case::Soft {
  using soft_case::Soft::Soft;

  void Run(const emulation::Options& options) {
    EmulatedRunner runner(options);
    const cuda::SoftSizes sizes{
        c.B, c.n, x_shape[2], c.H, c.e, c.shape.height(), effect_shape[2] == 1};
    cuda::RunSoftTreeBackward(runner, dweight.data(), dbias.data(), dx.data(), effect.data(),
                              x.data(), weight.data(), bias.data(), strength.data(), leaf.data(),
                              sizes);
  }
};

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
      reference::BalanceEffect<double>(testing_util::HostContext(),
                                       On(expected, {trees, 1, 1, leaves}),
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

}  // namespace treeformer
