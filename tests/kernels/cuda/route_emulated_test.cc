#include "kernels/tree/route/route_kernels.cuh"
#include "tests/kernels/cuda/route_case.h"

namespace treeformer {

namespace {

using namespace route_case;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void LaunchRoute(const RouteCase& c, const cuda::RouteOutputs& out,
                 const emulation::Options& options) {
  const cuda::RouteSizes sizes(c.B, c.n, c.H, c.x_heads, c.E, c.shape);
  const int64_t count = sizes.heads * sizes.rounded_count();
  std::vector<BFloat16> rounded = Unwritten(count);
  const std::vector<BFloat16> x = ToBFloat16(c.x);
  if (count > 0) {  // a tree without planes
    emulation::Launch({Blocks(count, cuda::kRoundThreads * 8)}, cuda::kRoundThreads,
                      /*shared_bytes=*/0, options, cuda::RoundPlanesKernel, rounded.data(),
                      c.weight.data(), sizes);
  }
  const auto launch = [&](auto kernel) {
    emulation::Launch({Blocks(sizes.rows, cuda::kRouteRows) * sizes.heads}, cuda::kRouteThreads,
                      cuda::RouteSharedBytes(sizes.product_planes), options, kernel, out, x.data(),
                      rounded.data(), c.bias.data(), c.document.data(), TreeWalk(c.shape), sizes,
                      c.rule);
  };
  const int tiles = cuda::RouteTiles(sizes.product_planes);
  if (tiles == 1) launch(cuda::RouteKernel<1>);
  if (tiles == 2) launch(cuda::RouteKernel<2>);
  if (tiles == 4) launch(cuda::RouteKernel<4>);
  if (tiles == 8) launch(cuda::RouteKernel<8>);
}

RouteResult<float> RouteRows(const RouteCase& c, const emulation::Options& options) {
  const std::vector<int32_t> ids(c.rows().count(), -7);
  const std::vector<float> values(c.rows().count(), -7);
  RouteResult<float> result{ids, ids, ids, ids, values, values};
  LaunchRoute(c,
              {result.leaf.data(), result.strength.data(), result.alternative.data(),
               result.own_plane.data(), result.other_plane.data(), result.margin.data()},
              options);
  return result;
}

TEST(RouteKernels, FollowTheReferenceOnExactScoresWithTiesAndNan) {
  for (RouteCase& c : RouteCases()) {
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    for (size_t p = 0; p < c.bias.size(); p += 7) c.bias[p] = kNan;
    if (c.n > 30) c.x[29 * c.x_heads * c.E] = kNan;
    for (const FlipChoice choice : {FlipChoice::kMinMargin, FlipChoice::kRandom}) {
      c.rule = {choice, {/*seed=*/5, /*step=*/6, /*site=*/7}, /*offset=*/99};
      const auto expected = Expected(c);
      ExpectSame(RouteRows(c, {/*seed=*/1, emulation::Copies::kEager}), expected, c.shape.height());
      ExpectSame(RouteRows(c, {/*seed=*/2, emulation::Copies::kLazy}), expected, c.shape.height());
    }
  }
}

TEST(RouteKernels, FollowTheReferenceWithoutNan) {
  for (RouteCase& c : RouteCases()) {
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    ExpectSame(RouteRows(c, {}), Expected(c), c.shape.height());
  }
}

// All rows in one leaf: planes that decide nothing, of zeros, and planes that every row is far
// from.
TEST(RouteKernels, FollowTheReferenceIntoACollapsedTree) {
  for (RouteCase& c : RouteCases()) {
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    RouteCase ties = c, far = c;
    for (auto* values : {&ties.weight, &ties.bias}) std::fill(values->begin(), values->end(), 0.0f);
    for (size_t p = 0; p < far.bias.size(); ++p) far.bias[p] = 4096 * (p % 3 + 1.0f);
    for (const RouteCase* collapsed : {&ties, &far}) {
      const auto expected = Expected(*collapsed);
      for (const emulation::Options& options : AllOptions()) {
        ExpectSame(RouteRows(*collapsed, options), expected, c.shape.height());
      }
    }
  }
}

// Weights that are no bfloat16 numbers decide as their rounded values do.
TEST(RouteKernels, RoundTheWeightsToBFloat16) {
  for (const auto& shape : {TreeShape::Binary(4), TreeShape::Binary(9), TreeShape::Kary({5, 40})}) {
    RouteCase exact(shape, 1, 33, 2, 2, 16), between = exact;
    for (float& w : between.weight) w *= 1 + 0x1p-10f;
    EXPECT_EQ(RouteRows(between, {}).margin, RouteRows(exact, {}).margin);
  }
}

// Not integers: uniform in [-1, 1], rounded to bfloat16.
RouteCase UniformCase(const TreeShape& shape) {
  RouteCase c(shape, 2, 70, 2, 2, 64);
  unsigned seed = 1;
  for (auto* values : {&c.x, &c.weight, &c.bias}) {
    *values = ToFloat(RandomBFloat16(values->size(), seed++));
  }
  return c;
}

// The sum of E products and the bias, each partial sum rounded (on a GPU perhaps towards zero).
TEST(RouteKernels, DecideRandomRowsAsTheReferenceWhereTheMarginExceedsTheError) {
  for (const auto& shape :
       {TreeShape::Binary(6), TreeShape::Binary(8), TreeShape::Kary({12, 11})}) {
    const RouteCase c = UniformCase(shape);
    const double bound = (c.E + 1) * (c.E + 1) * 2 * kRounding;  // |x|, |w|, |b| <= 1
    const auto expected = Expected(c);
    const auto actual = RouteRows(c, {});
    int64_t compared = 0;
    for (int64_t row = 0; row < c.rows().count(); ++row) {
      if (!(std::abs(expected.margin[row]) > 2 * bound)) continue;
      ++compared;
      EXPECT_EQ(actual.leaf[row], expected.leaf[row]) << row;
      EXPECT_NEAR(std::abs(actual.margin[row]), std::abs(expected.margin[row]), 2 * bound) << row;
      EXPECT_NEAR(actual.strength[row], expected.strength[row],
                  2 * bound + 2 * c.shape.height() * kRounding * expected.strength[row])
          << row;
    }
    EXPECT_GT(compared, c.rows().count() / 2);  // the rest is padding or undecided
  }
}

TEST(RouteKernels, LeaveOutWhatIsNotAskedFor) {
  RouteCase c(TreeShape::Binary(3), 1, 40, 2, 2, 8);
  std::vector<int32_t> leaf(c.rows().count(), -7);
  LaunchRoute(c, {leaf.data(), nullptr, nullptr, nullptr, nullptr, nullptr}, {});
  EXPECT_EQ(leaf, Expected(c).leaf);
}

}  // namespace

}  // namespace treeformer
