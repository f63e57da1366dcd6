#include "kernels/tree/dense/dense_effects_kernels.cuh"
#include "tests/kernels/cuda/dense_case.h"
#include "tests/kernels/cuda/emulated_runner.h"

namespace treeformer {

namespace {

using namespace dense_case;

// The operands, and the launches of the kernels.
struct Dense : dense_case::Dense {
  using dense_case::Dense::Dense;

  void Run(const emulation::Options& run) {
    EmulatedRunner runner(run);
    const cuda::DenseSizes sizes{
        c.B, c.n, c.H, c.e, c.shape.leaves(), 1 / std::sqrt(static_cast<float>(c.e))};
    query_effect.assign(c.effects(), NAN);
    key_effect.assign(c.effects(), NAN);
    cuda::RunDenseLeafEffects(runner, query_effect.data(), key_effect.data(),
                              {d_o.data(), q.data(), k.data(), v.data(), lse.data(), delta.data(),
                               query_leaf.data(), key_leaf.data(), document.data()},
                              sizes, options);
  }
};

TEST(DenseEffectsKernels, AreTheReferenceOnRoundedOperands) {
  int64_t empty = 0;
  for (const TreeCase& c : Trees()) {
    for (const DenseTerms terms :
         {DenseTerms::kClamped, DenseTerms::kBounded, DenseTerms::kInLeaf}) {
      for (const bool causal : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << c << " terms " << static_cast<int>(terms) << " causal " << causal);
        Dense dense(c, {terms, /*clamp=*/1.5f, causal});
        for (int64_t row = 0; row < c.rows(); ++row) {
          empty += dense.query_leaf[row] >= 0 && dense.lse[row] == -INFINITY;
        }
        std::vector<double> query(c.effects()), key(c.effects());
        dense.Reference(query, key);
        const double tolerance = Tolerance(dense);
        const std::vector<emulation::Options> all = AllOptions();
        for (size_t k = 0; k < (c.n < 100 ? all.size() : 1); ++k) {
          dense.Run(all[k]);
          ExpectNear(dense.query_effect, query, tolerance, "query effect");
          ExpectNear(dense.key_effect, key, tolerance, "key effect");
        }
      }
    }
  }
  EXPECT_GT(empty, 0);
}

// All queries in the last leaf, all keys in the first or also in the last.
TEST(DenseEffectsKernels, TakeCollapsedTrees) {
  for (const bool apart : {false, true}) {
    for (const DenseTerms terms :
         {DenseTerms::kClamped, DenseTerms::kBounded, DenseTerms::kInLeaf}) {
      Dense dense(Trees()[2], {terms, /*clamp=*/1.5f, /*causal=*/apart});
      const auto last = static_cast<int32_t>(dense.c.shape.leaves()) - 1;
      tree_testing::Collapse(dense.query_leaf, last);
      tree_testing::Collapse(dense.key_leaf, apart ? 0 : last);
      dense.SetLse();
      std::vector<double> query(dense.c.effects()), key(dense.c.effects());
      dense.Reference(query, key);
      for (const emulation::Options& options : AllOptions()) {
        dense.Run(options);
        ExpectNear(dense.query_effect, query, Tolerance(dense), "query effect");
        ExpectNear(dense.key_effect, key, Tolerance(dense), "key effect");
      }
    }
  }
}

TEST(DenseEffectsKernels, PaddingGivesAndGetsNothing) {
  Dense dense(Trees()[2], {});
  dense.Run({});
  const std::vector<float> query = dense.query_effect, key = dense.key_effect;
  const TreeCase& c = dense.c;
  int64_t padding = 0;
  for (int64_t row = 0; row < c.rows(); ++row) {
    if (dense.query_leaf[row] >= 0) continue;
    ++padding;
    const int64_t i = row % c.n, h = row / c.n % c.H, b = row / c.n / c.H;
    dense.lse[row] = dense.delta[row] = NAN;
    for (int64_t x = 0; x < c.e; ++x) {
      const int64_t at = ((b * c.n + i) * c.H + h) * c.e + x;
      dense.q[at] = dense.k[at] = dense.v[at] = dense.d_o[at] = BFloat16{0x7fff};
    }
    for (int64_t m = 0; m < c.shape.leaves(); ++m) {
      EXPECT_EQ(query[row * c.shape.leaves() + m], 0);
      EXPECT_EQ(key[row * c.shape.leaves() + m], 0);
    }
  }
  EXPECT_GT(padding, 0);
  dense.Run({/*seed=*/5, emulation::Copies::kLazy});
  EXPECT_EQ(dense.query_effect, query);
  EXPECT_EQ(dense.key_effect, key);
}

}  // namespace

}  // namespace treeformer
