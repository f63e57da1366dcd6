#include <numeric>

#include "kernels/tree/flip_kernels.cuh"
#include "kernels/tree/route.h"
#include "tests/kernels/cuda/route_case.h"

namespace {

using namespace route_case;

constexpr float kTau = 16;

struct FlipCase {
  RouteCase rows;
  RouteResult<double> routed;
  std::vector<float> margin, gain, dweight, dbias;
  std::vector<BFloat16> dx;

  explicit FlipCase(const RouteCase& rows_)
      : rows(rows_),
        routed(Expected(rows)),
        margin(routed.margin.begin(), routed.margin.end()),
        gain(Random<float>(rows.rows().count(), 11)),
        dweight(Random<float>(rows.weight.size(), 12)),
        dbias(Random<float>(rows.bias.size(), 13)),
        dx(ToBFloat16(Random<float>(rows.x.size(), 14))) {}

  cuda::FlipSizes sizes() const {
    return {rows.B, rows.n, rows.H, rows.x_heads, rows.shape.planes(), rows.E};
  }
};

// Sums of float32 with their exact value, the error they may carry and the number of terms.
struct Sums {
  std::vector<double> value, error, magnitude, terms;

  explicit Sums(const std::vector<double>& initial)
      : value(initial), error(initial.size()), magnitude(initial.size()), terms(initial.size()) {
    for (size_t i = 0; i < initial.size(); ++i) magnitude[i] = std::abs(initial[i]);
  }
  void Add(int64_t i, double term, double relative_error) {
    error[i] += relative_error * std::abs(term);
    magnitude[i] += std::abs(term);
    ++terms[i];
  }
  // Each sum is rounded, and so is each product.
  double Tolerance(int64_t i) const { return error[i] + (terms[i] + 2) * kRounding * magnitude[i]; }
};

struct Gradients {
  Sums dweight, dbias, dx;
};

Gradients ExpectedGradients(FlipCase& c) {
  RouteCase& r = c.rows;
  const int64_t P = r.shape.planes();
  Gradients g{Sums(Wide(c.dweight)), Sums(Wide(c.dbias)), Sums(ToDouble(c.dx))};
  const Shape rows{r.B, r.H, r.n}, weights{r.H, P, r.E}, x_shape{r.B, r.n, r.x_heads, r.E};
  std::vector<double> gain = Wide(c.gain), x = Wide(r.x), weight = Wide(r.weight);
  const FlipDecisions decisions{On(c.routed.own_plane, rows), On(c.routed.other_plane, rows),
                                On(c.routed.margin, rows)};
  reference::FlipBackward<double>(On(g.dweight.value, weights), On(g.dbias.value, {r.H, P}),
                                  On(g.dx.value, x_shape), On(gain, rows), On(x, x_shape),
                                  On(weight, weights), decisions, r.shape, kTau);
  for (int64_t row = 0; row < r.rows().count(); ++row) {
    if (c.routed.own_plane[row] < 0) continue;
    const int64_t b = row / r.n / r.H, h = row / r.n % r.H, i = row % r.n;
    const int64_t x_row = ((b * r.n + i) * r.x_heads + (r.x_heads == 1 ? 0 : h)) * r.E;
    const double slope = FlipSlope<double>(c.routed.margin[row], kTau) * gain[row];
    // The exponent is rounded twice; exp, its sums and quotients take a dozen roundings.
    const double error = (4 * std::abs(c.routed.margin[row]) / kTau + 12) * kRounding;
    for (const int32_t plane : {c.routed.own_plane[row], c.routed.other_plane[row]}) {
      g.dbias.Add(h * P + plane, slope, error);
      for (int64_t d = 0; d < r.E; ++d) {
        g.dweight.Add((h * P + plane) * r.E + d, slope * r.x[x_row + d], error);
        g.dx.Add(x_row + d, slope * r.weight[(h * P + plane) * r.E + d], error);
      }
      if (r.shape.binary) break;  // the two are one
    }
  }
  return g;
}

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
  const cuda::FlipSizes sizes = c.sizes();
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
    ExpectNear(
        result.dweight, expected.dweight.value,
        [&](int64_t k) { return expected.dweight.Tolerance(k); }, "dweight");
    ExpectNear(
        result.dbias, expected.dbias.value, [&](int64_t k) { return expected.dbias.Tolerance(k); },
        "dbias");
    const auto tolerance = [&](int64_t k) {
      return expected.dx.Tolerance(k) + kBFloat16Tiny +
             kBFloat16Rounding * (std::abs(expected.dx.value[k]) + expected.dx.Tolerance(k));
    };
    ExpectNear(ToFloat(result.dx), expected.dx.value, tolerance, "dx");
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
