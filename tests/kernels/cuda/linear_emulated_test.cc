#include "kernels/matmul/linear.h"
#include "kernels/matmul/linear_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

template <int kWidth>
std::vector<float> BiasGradient(const std::vector<BFloat16>& dy, std::vector<float> dbias,
                                int64_t N, int64_t O, int64_t ld,
                                const emulation::Options& options) {
  const int64_t chunks = cuda::ColumnChunks(N);
  std::vector<float> partial(chunks * O, NAN);
  const emulation::Grid tiles{static_cast<int>(chunks), Blocks(O, cuda::ColumnTile(kWidth))};
  emulation::Launch(tiles, cuda::kColumnThreads, cuda::ColumnSharedBytes(kWidth, 1), options,
                    cuda::BiasPartialsKernel<kWidth>, partial.data(), dy.data(), N, O, ld);
  emulation::Launch(emulation::Grid{Blocks(O, cuda::kColumnThreads)}, cuda::kColumnThreads,
                    /*shared_bytes=*/0, options, cuda::BiasAddPartialsKernel, dbias.data(),
                    partial.data(), chunks, O);
  return dbias;
}

// One row, one past a chunk of rows, chunks longer than 32; one past a tile of columns and a block.
TEST(BiasGradientKernels, AddTheRowsToWhatWasThereInAFixedOrder) {
  for (const auto& [N, O] : {std::pair<int64_t, int64_t>{1, 1},
                             {33, 7},
                             {65, 33},
                             {7, 257},
                             {1, 8},
                             {97, 264},
                             {31, 520},
                             {4225, 3},
                             {4225, 8}}) {
    SCOPED_TRACE(testing::Message() << N << " x " << O);
    const std::vector<BFloat16> dy = RandomBFloat16(N * O, 1);
    const std::vector<float> dbias = Random<float>(O, 2);
    std::vector<double> expected = Wide(dbias);
    const std::vector<double> dy64 = ToDouble(dy);
    for (int64_t i = 0; i < N * O; ++i) expected[i % O] += dy64[i];
    std::vector<float> first;
    for (const emulation::Options& options : AllOptions()) {
      const std::vector<float> result = O % 8 == 0 ? BiasGradient<8>(dy, dbias, N, O, O, options)
                                                   : BiasGradient<1>(dy, dbias, N, O, O, options);
      ExpectNear(result, expected, DotTolerance(N + 1), "dbias");
      if (first.empty()) first = result;
      EXPECT_EQ(result, first);
      const auto apart = WithRowsOf(dy, O, O + 8, Unwritten(1)[0]);
      EXPECT_EQ(O % 8 == 0 ? BiasGradient<8>(apart, dbias, N, O, O + 8, options)
                           : BiasGradient<1>(apart, dbias, N, O, O + 8, options),
                first);
    }
  }
}

TEST(BroadcastBiasKernel, MakesEveryRowTheBiasAndLeavesWhatLiesBehind) {
  constexpr int64_t N = 5, O = 261, ld = 264;
  const std::vector<BFloat16> bias = RandomBFloat16(O, 1);
  std::vector<BFloat16> y = Unwritten(N * ld);
  emulation::Launch(emulation::Grid{Blocks(O, cuda::kColumnThreads), /*fewer than rows*/ 2},
                    cuda::kColumnThreads, /*shared_bytes=*/0, /*options=*/{},
                    cuda::BroadcastBiasKernel, y.data(), bias.data(), N, O, ld);
  for (int64_t i = 0; i < N * ld; ++i) {
    EXPECT_EQ(y[i].bits, i % ld < O ? bias[i % ld].bits : 0x7fff) << i;
  }
}

}  // namespace

}  // namespace treeformer
