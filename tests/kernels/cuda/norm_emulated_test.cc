#include "kernels/norm.h"
#include "kernels/norm_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

constexpr float kEpsilon = 1e-2f;

// Single columns and vectors of eight; one past a warp's columns; one past a block's rows and past
// a chunk of the sums over the rows.
const Shape kSizes[] = {{1, 1}, {7, 1},   {3, 33},  {17, 31}, {5, 257},
                        {1, 8}, {4, 256}, {9, 264}, {33, 24}, {67, 40}};

struct Case {
  explicit Case(const Shape& shape)
      : N(shape[0]),
        C(shape[1]),
        gamma(RandomBFloat16(C, 2)),
        beta(RandomBFloat16(C, 3)),
        dy(RandomBFloat16(N * C, 4)),
        y(Unwritten(N * C)),
        dx(Unwritten(N * C)),
        mean(N, NAN),
        rstd(N, NAN),
        dgamma(ToFloat(gamma)),
        dbeta(ToFloat(beta)) {
    std::vector<float> values = Random<float>(N * C, 1);
    for (float& value : values) value += 3;  // a mean above the spread
    x = ToBFloat16(values);
  }

  // dgamma and dbeta start as gamma and beta: they are added to.
  template <int kWidth>
  void Run(const emulation::Options& options, bool in_place) {
    const emulation::Grid rows{Blocks(N, cuda::kNormRowsPerBlock)};
    emulation::Launch(rows, cuda::kNormThreads, /*shared_bytes=*/0, options,
                      cuda::LayerNormForwardKernel<kWidth>, y.data(), mean.data(), rstd.data(),
                      x.data(), gamma.data(), beta.data(), kEpsilon, N, C);
    const int64_t chunks = cuda::ColumnChunks(N);
    std::vector<float> partial(chunks * 2 * C, NAN);
    const emulation::Grid tiles{static_cast<int>(chunks), Blocks(C, cuda::ColumnTile(kWidth))};
    emulation::Launch(tiles, cuda::kColumnThreads, cuda::ColumnSharedBytes(kWidth, 2), options,
                      cuda::LayerNormPartialsKernel<kWidth>, partial.data(), dy.data(), x.data(),
                      mean.data(), rstd.data(), N, C);
    emulation::Launch(emulation::Grid{Blocks(C, cuda::kColumnThreads)}, cuda::kColumnThreads,
                      /*shared_bytes=*/0, options, cuda::LayerNormAddPartialsKernel, dgamma.data(),
                      dbeta.data(), partial.data(), chunks, C);
    emulation::Launch(rows, cuda::kNormThreads, /*shared_bytes=*/0, options,
                      cuda::LayerNormBackwardKernel<kWidth>, in_place ? dy.data() : dx.data(),
                      dy.data(), x.data(), gamma.data(), mean.data(), rstd.data(), N, C);
  }
  void RunAny(const emulation::Options& options, bool in_place = false) {
    return C % 8 == 0 ? Run<8>(options, in_place) : Run<1>(options, in_place);
  }

  int64_t N, C;
  std::vector<BFloat16> x, gamma, beta, dy, y, dx;
  std::vector<float> mean, rstd, dgamma, dbeta;
};

// The errors of float32 as in tests/kernels/norm_test.cc, and one rounding to bfloat16 of y and dx.
void ExpectReference(const Case& in, const Case& result) {
  const Shape shape{in.N, in.C}, rows{in.N}, channels{in.C};
  auto x = ToDouble(in.x), gamma = ToDouble(in.gamma), beta = ToDouble(in.beta);
  auto dy = ToDouble(in.dy);
  std::vector<double> y(x.size()), mean(in.N), rstd(in.N), dx(x.size());
  std::vector<double> dgamma = gamma, dbeta = beta;
  reference::LayerNormForward<double>(testing_util::HostContext(), On(y, shape), On(mean, rows),
                                      On(rstd, rows), On(x, shape), On(gamma, channels),
                                      On(beta, channels), kEpsilon);
  reference::LayerNormBackward<double>(
      testing_util::HostContext(), {On(dx, shape), On(dgamma, channels), On(dbeta, channels)},
      On(dy, shape), On(x, shape), On(gamma, channels), On(mean, rows), On(rstd, rows));
  const double r = *std::max_element(rstd.begin(), rstd.end());
  const double mean_error = 32 * kRounding, n_error = r * 2 * mean_error;
  ExpectNear(result.mean, mean, mean_error, "mean");
  ExpectNear(result.rstd, rstd, r * (testing_util::SumTolerance(1, 4) + n_error), "rstd");
  ExpectNear(ToFloat(result.y), y, Rounded(y, 2 * n_error + 16 * kRounding), "y");
  ExpectNear(ToFloat(result.dx), dx, Rounded(dx, 8 * r * n_error + 16 * r * kRounding), "dx");
  const double sum_error = 4 * DotTolerance(in.N + 1) + in.N * n_error;
  ExpectNear(result.dgamma, dgamma, sum_error, "dgamma");
  ExpectNear(result.dbeta, dbeta, DotTolerance(in.N + 1), "dbeta");
}

TEST(LayerNormKernels, AreTheReferenceRoundedToBFloat16) {
  for (const Shape& shape : kSizes) {
    SCOPED_TRACE(testing::Message() << shape);
    for (const emulation::Options& options : AllOptions()) {
      const Case in(shape);
      Case result(shape);
      result.RunAny(options);
      ExpectReference(in, result);
    }
  }
}

TEST(LayerNormKernels, BackwardMayBeInPlace) {
  for (const Shape& shape : {Shape{17, 31}, Shape{9, 264}}) {
    Case apart(shape), in_place(shape);
    apart.RunAny({});
    in_place.RunAny({}, /*in_place=*/true);
    EXPECT_EQ(ToFloat(in_place.dy), ToFloat(apart.dx));
    EXPECT_EQ(in_place.dgamma, apart.dgamma);
  }
}

TEST(LayerNormKernels, EightColumnsAtATimeAreThoseOneAtATime) {
  Case wide({5, 264}), single({5, 264});
  wide.Run<8>({}, /*in_place=*/false);
  single.Run<1>({}, /*in_place=*/false);
  ExpectReference(Case({5, 264}), single);
  EXPECT_EQ(wide.dbeta, single.dbeta);
}

TEST(LayerNormKernels, AConstantRowGivesBeta) {
  Case in({3, 24});
  in.x = ToBFloat16(std::vector<float>(3 * 24, 3));
  in.RunAny({});
  for (int64_t i = 0; i < 3 * 24; ++i) EXPECT_EQ(in.y[i].bits, in.beta[i % 24].bits);
}

}  // namespace

}  // namespace treeformer
