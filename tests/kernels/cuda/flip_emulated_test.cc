#include <numeric>

#include "kernels/tree/tf/flip_kernels.cuh"
#include "tests/kernels/cuda/flip_case.h"

namespace treeformer {

namespace {

using namespace flip_case;

// Positions by plane, those without a decision last.
std::vector<int32_t> OrderByPlane(const std::vector<int32_t>& plane, int64_t n) {
  std::vector<int32_t> order(plane.size());
  for (size_t first = 0; first < plane.size(); first += n) {
    const auto begin = order.begin() + first;
    std::iota(begin, begin + n, 0);
    std::stable_sort(begin, begin + n, [&](int32_t i, int32_t j) {
      return static_cast<uint32_t>(plane[first + i]) < static_cast<uint32_t>(plane[first + j]);
    });
  }
  return order;
}

void RunKernels(FlipCase& c, const emulation::Options& options) {
  const RouteCase& r = c.rows;
  const cuda::FlipSizes sizes{r.B, r.n, r.H, r.x_heads, r.shape.planes(), r.E};
  const cuda::FlipSlopes slopes{c.margin.data(), c.gain.data(), c.rows.shape.binary, kTau};
  const std::vector<BFloat16> x = ToBFloat16(c.rows.x);
  const auto add_planes = [&](const std::vector<int32_t>& plane, float sign) {
    const std::vector<int32_t> order = OrderByPlane(plane, sizes.n);
    std::vector<float> partial(sizes.B * sizes.heads * sizes.runs() * (sizes.columns + 1), NAN);
    emulation::Launch({Blocks(sizes.warps(), cuda::kFlipWarps)}, cuda::kFlipThreads, 0, options,
                      cuda::FlipPartialsKernel, partial.data(), order.data(), plane.data(), slopes,
                      x.data(), sizes, sign);
    emulation::Launch({Blocks(sizes.heads * sizes.planes, 1)}, cuda::kFlipReduceThreads,
                      cuda::kFlipReduceThreads * sizeof(cuda::SlotRange), options,
                      cuda::FlipReduceKernel, c.dweight.data(), c.dbias.data(), partial.data(),
                      order.data(), plane.data(), sizes);
  };
  add_planes(c.routed.own_plane, /*sign=*/1);
  if (!c.rows.shape.binary) add_planes(c.routed.other_plane, /*sign=*/-1);
  const int rows = static_cast<int>(sizes.B * sizes.n * sizes.x_heads);
  const cuda::FlipPlanes planes{c.routed.own_plane.data(), c.routed.other_plane.data(),
                                c.rows.weight.data()};
  emulation::Launch({Blocks(rows, cuda::kFlipInputRows)}, cuda::kFlipInputThreads, 0, options,
                    cuda::FlipInputKernel, c.dx.data(), planes, slopes, sizes, rows);
}

void ExpectReference(FlipCase c, const std::vector<emulation::Options>& all) {
  const Gradients expected = ExpectedGradients(c);
  FlipCase first = c;
  for (size_t i = 0; i < all.size(); ++i) {
    FlipCase result = c;
    RunKernels(result, all[i]);
    if (i > 0) {  // the same bits in any order of threads and blocks
      EXPECT_EQ(result.dweight, first.dweight);
      EXPECT_EQ(result.dbias, first.dbias);
      EXPECT_EQ(ToFloat(result.dx), ToFloat(first.dx));
      continue;
    }
    first = result;
    ExpectGradients(result, expected);
  }
}

TEST(FlipKernels, AgreeWithTheReferenceWithTheSameBitsInAnyOrder) {
  for (const RouteCase& c : RouteCases()) {
    if (c.shape.planes() == 0) continue;
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    ExpectReference(FlipCase(c), AllOptions());
  }
}

// Chunks with one plane and with many; more sequences than a block has threads.
TEST(FlipKernels, SumPlanesOverManyChunksAndSequences) {
  const auto expect = [](const RouteCase& rows) { ExpectReference(FlipCase(rows), {{1}, {2}}); };
  expect(RouteCase(TreeShape::Binary(1), 1, 389, 1, 1, 8));
  expect(RouteCase(TreeShape::Kary({9}), 1, 389, 2, 1, 70));
  expect(RouteCase(TreeShape::Binary(2), 67, 3, 2, 2, 4));
}

// All rows were flipped at the last of many planes.
TEST(FlipKernels, TakeCollapsedTrees) {
  FlipCase c(RouteCase(TreeShape::Binary(5), 2, 67, 2, 2, 8));
  tree_testing::Collapse(c.routed.own_plane, static_cast<int32_t>(c.rows.shape.planes()) - 1);
  ExpectReference(c, AllOptions());
}

TEST(FlipKernels, PassNothingWhereNothingWasFlipped) {
  FlipCase c(RouteCase(TreeShape::Binary(3), 1, 70, 2, 2, 8));
  c.routed.own_plane.assign(c.routed.own_plane.size(), -1);
  c.margin.assign(c.margin.size(), NAN);
  c.gain.assign(c.gain.size(), NAN);
  FlipCase result = c;
  RunKernels(result, {});
  EXPECT_EQ(result.dweight, c.dweight);
  EXPECT_EQ(result.dbias, c.dbias);
  EXPECT_EQ(ToFloat(result.dx), ToFloat(c.dx));
}

}  // namespace

}  // namespace treeformer
