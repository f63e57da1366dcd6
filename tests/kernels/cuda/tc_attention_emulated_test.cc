#include "kernels/tree/tc/tc_backward_kernels.cuh"
#include "tests/kernels/cuda/emulated_runner.h"
#include "tests/kernels/cuda/tc_case.h"

namespace treeformer {

namespace {

using namespace tc_case;

// A tree, and the chunks that its sequences are cut into (0: as on a GPU).
struct TcCase {
  TreeCase tree;
  int64_t chunk = 0;
};

// One row; odd and even rows of any width; short and long documents and both in one chunk; pieces
// that end with a chunk; more leaves than a warp's 16, than a block's 128; more columns than 64.
std::vector<TcCase> Cases() {
  return {{{1, 1, 1, 1, TreeShape::Binary(1), 1, false}},
          {{2, 13, 2, 3, TreeShape::Binary(3), 1, true}},
          {{2, 9, 1, 8, TreeShape::Binary(0), 3, false}, 4},
          {{1, 37, 3, 10, TreeShape::Kary({3, 2}), 2, true}, 8},
          {{1, 131, 2, 64, TreeShape::Binary(5), 1, true}, 66},
          {{1, 131, 1, 24, TreeShape::Binary(6), 3, true}, 32},
          {{2, 65, 1, 72, TreeShape::Kary({7, 3}), 5, true}, 14},
          {{1, 97, 1, 16, TreeShape::Binary(8), 2, false}, 16},
          {{1, 701, 1, 8, TreeShape::Binary(2), 1, true}}};
}

// The operands, and the launches of the kernels.
struct Tc : tc_case::Tc {
  explicit Tc(const TcCase& test_case)
      : tc_case::Tc(test_case.tree), sizes(c.shape, c.B, c.n, c.H, c.e) {
    if (test_case.chunk > 0) sizes.SetChunk(test_case.chunk);
  }

  // Outputs start from NaN, dalpha from what it was.
  void Run(const emulation::Options& options, bool effects = true) {
    EmulatedRunner runner(options);
    o = dv = Unwritten(c.elements());
    dalpha_out = dalpha;
    query_effect.assign(c.effects(), NAN);
    key_effect.assign(c.effects(), NAN);
    cuda::RunTcForward(runner, o.data(), v.data(), alpha.data(), query_leaf.data(), key_leaf.data(),
                       document.data(), sizes);
    cuda::RunTcBackward(runner, dv.data(), dalpha_out.data(),
                        effects ? query_effect.data() : nullptr,
                        effects ? key_effect.data() : nullptr, d_o.data(), v.data(), alpha.data(),
                        query_leaf.data(), key_leaf.data(), document.data(), sizes);
  }

  cuda::TcSizes sizes;
};

TEST(TcKernels, AreTheReferenceOnRoundedOperands) {
  for (const TcCase& test_case : Cases()) {
    SCOPED_TRACE(testing::Message() << test_case.tree << " chunk " << test_case.chunk);
    Tc tc(test_case);
    const Expected expected(tc, /*magnitudes=*/false), size(tc, /*magnitudes=*/true);
    const std::vector<double> key_size = KeyMagnitudes(tc);
    for (const emulation::Options& options : AllOptions()) {
      tc.Run(options);
      ExpectResults(tc, expected, size, key_size);
    }
  }
}

// All queries in the last leaf, and all keys in the first or also in the last; one long document
// over many chunks, and short ones.
TEST(TcKernels, TakeCollapsedTrees) {
  for (const TcCase& test_case : {TcCase{{1, 97, 2, 16, TreeShape::Binary(5), 1, true}, 16},
                                  TcCase{{2, 70, 1, 8, TreeShape::Kary({3, 50}), 9, true}}}) {
    for (const bool apart : {false, true}) {
      Tc tc(test_case);
      const auto last = static_cast<int32_t>(tc.c.shape.leaves()) - 1;
      tree_testing::Collapse(tc.query_leaf, last);
      tree_testing::Collapse(tc.key_leaf, apart ? 0 : last);
      SCOPED_TRACE(testing::Message() << tc.c << (apart ? " apart" : ""));
      const Expected expected(tc, /*magnitudes=*/false), size(tc, /*magnitudes=*/true);
      const std::vector<double> key_size = KeyMagnitudes(tc);
      for (const emulation::Options& options : AllOptions()) {
        tc.Run(options);
        ExpectResults(tc, expected, size, key_size);
      }
    }
  }
}

TEST(TcKernels, BitsDoNotDependOnTheOrderOfThreadsAndBlocks) {
  Tc tc(Cases()[5]);
  tc.Run({/*seed=*/1, emulation::Copies::kLazy});
  const Tc first = tc;
  tc.Run({/*seed=*/7, emulation::Copies::kEager});
  EXPECT_EQ(ToFloat(tc.o), ToFloat(first.o));
  EXPECT_EQ(ToFloat(tc.dv), ToFloat(first.dv));
  EXPECT_EQ(tc.dalpha_out, first.dalpha_out);
  EXPECT_EQ(tc.query_effect, first.query_effect);
  EXPECT_EQ(tc.key_effect, first.key_effect);
}

TEST(TcKernels, PaddingAnywhereIsNotReadAndGetsNothing) {
  for (const int64_t chunk : {64, 8, 5}) {
    Tc tc({{1, 29, 2, 8, TreeShape::Binary(2), 1, false}, chunk});
    tc.document = {-1, -1, 0, 0, 0, -1, -1, -1, -1, -1, 2, 2,  2,  2, 2,
                   2,  2,  2, 2, 2, 2,  2,  -1, 5,  6,  6, -2, -2, -1};
    tree_testing::MaskLeaves(tc.query_leaf, tc.document, tc.c.H, tc.c.n);
    tree_testing::MaskLeaves(tc.key_leaf, tc.document, tc.c.H, tc.c.n);
    const Expected expected(tc, /*magnitudes=*/false), size(tc, /*magnitudes=*/true);
    const std::vector<double> key_size = KeyMagnitudes(tc);
    const int64_t row = tc.c.H * tc.c.e, n = tc.c.n, L = tc.c.shape.leaves();
    for (int64_t x = 0; x < n * row; ++x) {
      if (tc.document[x / row] < 0) tc.v[x] = tc.d_o[x] = BFloat16{0x7fff};
    }
    tc.Run({});
    ExpectResults(tc, expected, size, key_size);
    for (int64_t x = 0; x < n * row; ++x) {
      if (tc.document[x / row] >= 0) continue;
      EXPECT_EQ(tc.o[x].bits, 0);
      EXPECT_EQ(tc.dv[x].bits, 0);
    }
    for (int64_t x = 0; x < tc.c.effects(); ++x) {
      if (tc.document[x / L % n] >= 0) continue;
      EXPECT_EQ(tc.query_effect[x], 0);
      EXPECT_EQ(tc.key_effect[x], 0);
    }
  }
}

TEST(TcKernels, EffectsThatNobodyWantsChangeNothingElse) {
  Tc tc(Cases()[5]);
  tc.Run({});
  const Tc with = tc;
  tc.Run({}, /*effects=*/false);
  EXPECT_EQ(ToFloat(tc.dv), ToFloat(with.dv));
  EXPECT_EQ(tc.dalpha_out, with.dalpha_out);
  for (const float effect : tc.query_effect) EXPECT_TRUE(std::isnan(effect));
}

TEST(TcKernels, DocumentRunsAreThoseOfEqualIds) {
  for (const int64_t n : {1, 2, 255, 256, 257, 1031}) {
    std::vector<int32_t> document(2 * n), range(4 * n, -7);
    std::mt19937 engine(1);
    for (int64_t i = 1; i < 2 * n; ++i) document[i] = document[i - 1] + (engine() % 90 == 0);
    emulation::Launch({2}, cuda::kTcThreads, 8 * cuda::kTcThreads, {}, cuda::TcDocumentRunsKernel,
                      range.data(), document.data(), n);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && document[b * n + end] == document[b * n + begin];) ++end;
        for (int64_t i = begin; i < end; ++i) {
          EXPECT_EQ(range[2 * (b * n + i)], begin);
          EXPECT_EQ(range[2 * (b * n + i) + 1], end);
        }
      }
    }
  }
}

TEST(TcKernels, PiecesCoverTheTokensOfLongDocumentsOnce) {
  const int64_t n = 211;
  for (const int64_t chunk : {7, 16, 53, 210, 211}) {
    cuda::TcSizes sizes(TreeShape::Binary(2), /*sequences=*/1, n, /*heads=*/1, /*columns=*/8);
    sizes.SetChunk(chunk);
    std::mt19937 engine(static_cast<unsigned>(chunk));
    std::vector<int32_t> document(n), range(2 * n);
    for (int64_t i = 1; i < n; ++i) document[i] = document[i - 1] + (engine() % 40 == 0);
    for (int64_t i = 30; i < 39; ++i) document[i] = -1;
    emulation::Launch({}, cuda::kTcThreads, 8 * cuda::kTcThreads, {}, cuda::TcDocumentRunsKernel,
                      range.data(), document.data(), n);
    std::vector<int64_t> table(n, -1);
    for (int64_t k = 0; k < 2 * sizes.chunks; ++k) {
      const cuda::TcPiece piece = cuda::PieceOf(range.data(), document.data(), sizes, k);
      for (int64_t i = piece.rows.begin; i < piece.rows.end; ++i) {
        EXPECT_EQ(table[i], -1) << i;
        EXPECT_EQ(i / chunk, k / 2);
        table[i] = piece.table;
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      const int64_t begin = range[2 * i], end = range[2 * i + 1];
      const bool is_long = document[i] >= 0 && end - begin > chunk;
      EXPECT_EQ(table[i] >= 0, is_long) << i;
      if (!is_long) continue;
      const auto run = cuda::LongDocument(range.data(), document.data(), sizes, table[i]);
      EXPECT_EQ(run.begin, begin);
      EXPECT_EQ(run.end, end);
    }
  }
}

TEST(GainKernel, IsTheDifferenceOfTwoEffectsAndZeroForPadding) {
  for (const int64_t rows : {1, 255, 256, 257}) {
    const std::vector<float> effect = Random<float>(rows * 3, 1);
    std::vector<float> gain(rows + 1, NAN);
    std::vector<int32_t> leaf(rows), alternative(rows);
    for (int64_t i = 0; i < rows; ++i) {
      leaf[i] = static_cast<int32_t>(i % 4) - 1;
      alternative[i] = leaf[i] < 0 ? -1 : (leaf[i] + 1) % 3;
    }
    EmulatedRunner runner({});
    cuda::RunGainFromEffects(runner, gain.data(), effect.data(), leaf.data(), alternative.data(),
                             rows, int64_t{3});
    for (int64_t i = 0; i < rows; ++i) {
      EXPECT_EQ(gain[i],
                leaf[i] < 0 ? 0 : effect[i * 3 + alternative[i]] - effect[i * 3 + leaf[i]]);
    }
    EXPECT_TRUE(std::isnan(gain[rows]));
  }
}

}  // namespace

}  // namespace treeformer
