#include "kernels/tree/route/route.h"

#include <omp.h>

#include "tests/kernels/tree/route_case.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The children of a node from best to worst, those with NaN scores left out; binary: both.
struct Ranked {
  std::vector<int> children;
  std::vector<double> scores;
};

Ranked Rank(const RouteCase& c, int64_t b, int64_t h, int64_t i, int level, int64_t node) {
  const int64_t first = c.shape.FirstPlane(level) + node * c.shape.PlanesOfNode(level);
  if (c.shape.binary) {
    const double f = c.Score(b, h, i, first);
    if (f > 0) return {{1, 0}, {f, 0}};
    return {{0, 1}, {0, f}};
  }
  Ranked ranked;
  for (int child = 0; child < c.shape.branching[level]; ++child) {
    if (!std::isnan(c.Score(b, h, i, first + child))) ranked.children.push_back(child);
  }
  std::stable_sort(ranked.children.begin(), ranked.children.end(), [&](int one, int two) {
    return c.Score(b, h, i, first + one) > c.Score(b, h, i, first + two);
  });
  for (const int child : ranked.children) ranked.scores.push_back(c.Score(b, h, i, first + child));
  return ranked;
}

// The leaf reached when the decision of `flipped` (-1: none) is its second best.
int64_t LeafOf(const RouteCase& c, int64_t b, int64_t h, int64_t i, int flipped) {
  int64_t node = 0;
  for (int level = 0; level < c.shape.height(); ++level) {
    const Ranked ranked = Rank(c, b, h, i, level, node);
    const int choice = ranked.children.empty() ? 0 : ranked.children[level == flipped ? 1 : 0];
    node = node * c.shape.branching[level] + choice;
  }
  return node;
}

// Checks every row of `result` against the rules of tree_shape.h and route.h.
template <typename T>
void ExpectRules(const RouteCase& c, const RouteResult<T>& result) {
  for (int64_t row = 0; row < c.B * c.H * c.n; ++row) {
    const int64_t b = row / c.n / c.H, h = row / c.n % c.H, i = row % c.n;
    if (c.document[b * c.n + i] < 0) {
      EXPECT_EQ(result.leaf[row], -1);
      EXPECT_EQ(result.alternative[row], -1);
      EXPECT_EQ(result.own_plane[row], -1);
      EXPECT_EQ(result.strength[row], 0);
      continue;
    }
    int flipped = -1;
    int64_t node = 0, own = -1, other = -1;
    double smallest = std::numeric_limits<double>::infinity(), sum = 0, margin = 0;
    for (int level = 0; level < c.shape.height(); ++level) {
      const Ranked ranked = Rank(c, b, h, i, level, node);
      const int64_t first = c.shape.FirstPlane(level) + node * c.shape.PlanesOfNode(level);
      const bool decided = ranked.children.size() > 1;
      const double f = c.shape.binary ? c.Score(b, h, i, first)
                       : decided      ? ranked.scores[0] - ranked.scores[1]
                                      : kNan;
      sum += std::abs(f);
      const bool random = c.rule.choice == FlipChoice::kRandom;
      const bool picked =
          random ? !std::isnan(f) &&
                       level == static_cast<int>(RandomBits(c.rule.key, c.rule.offset + row) %
                                                 c.shape.height())
                 : std::abs(f) < smallest;
      if (picked) {
        flipped = level;
        smallest = std::abs(f);
        margin = f;
        own = c.shape.binary ? first : first + ranked.children[0];
        other = c.shape.binary ? first : first + ranked.children[1];
      }
      node = node * c.shape.branching[level] + (ranked.children.empty() ? 0 : ranked.children[0]);
    }
    ASSERT_EQ(result.leaf[row], node) << row;
    ASSERT_EQ(result.alternative[row], LeafOf(c, b, h, i, flipped)) << row;
    ASSERT_EQ(result.own_plane[row], own) << row;
    ASSERT_EQ(result.other_plane[row], other) << row;
    ASSERT_EQ(result.margin[row], margin) << row;
    const double strength = c.shape.height() == 0 ? 0 : sum / c.shape.height();
    if (std::isnan(strength)) {
      EXPECT_TRUE(std::isnan(result.strength[row])) << row;
    } else {
      EXPECT_NEAR(result.strength[row], strength, SumTolerance(c.shape.height(), strength));
    }
  }
}

// Also trees with more planes than are scored for every row.
std::vector<RouteCase> RouteCases() {
  std::vector<RouteCase> cases;
  cases.emplace_back(TreeShape::Binary(0), 1, 9, 2, 2, 4);
  cases.emplace_back(TreeShape::Binary(1), 2, 1, 1, 1, 1);
  cases.emplace_back(TreeShape::Binary(3), 2, 131, 3, 3, 5);
  cases.emplace_back(TreeShape::Binary(5), 1, 300, 2, 1, 33);
  cases.emplace_back(TreeShape::Binary(9), 1, 70, 2, 2, 16);
  cases.emplace_back(TreeShape::Kary({3}), 2, 40, 2, 2, 2);
  cases.emplace_back(TreeShape::Kary({4, 3, 2}), 1, 129, 2, 2, 3);
  cases.emplace_back(TreeShape::Kary({100, 10}), 1, 50, 1, 1, 8);
  return cases;
}

class RouteOn : public Float32Test {};
INSTANTIATE_BACKENDS(RouteOn);

TEST_P(RouteOn, FollowsTheRulesOfTheTreeWithTiesAndNan) {
  for (RouteCase& c : RouteCases()) {
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    for (size_t p = 0; p < c.bias.size(); p += 7) c.bias[p] = kNan;
    for (const FlipChoice choice : {FlipChoice::kMinMargin, FlipChoice::kRandom}) {
      c.rule = {choice, {/*seed=*/5, /*step=*/6, /*site=*/7}, /*offset=*/99};
      ExpectRules(c, RouteRows<float>(ctx_, c));
      if (GetParam() == Device::kCpu) ExpectRules(c, RouteRows<double>(ctx_, c));
    }
  }
}

TEST_P(RouteOn, SendsZeroAndNanLeftAndTiesToTheLowestChild) {
  RouteCase binary(TreeShape::Binary(1), 1, 4, 1, 1, 1);
  binary.document = {0, 0, 0, 0};
  binary.weight = {1};
  binary.bias = {0};
  binary.x = {0, kNan, 1, -1};
  const auto sides = RouteRows<float>(ctx_, binary);
  EXPECT_EQ(sides.leaf, (std::vector<int32_t>{0, 0, 1, 0}));
  EXPECT_EQ(sides.alternative, (std::vector<int32_t>{1, 0, 0, 1}));  // NaN: nothing to flip
  EXPECT_EQ(sides.own_plane, (std::vector<int32_t>{0, -1, 0, 0}));

  RouteCase kary(TreeShape::Kary({3}), 1, 2, 1, 1, 1);
  kary.document = {0, 0};
  kary.weight = {0, 1, 1};
  kary.bias = {0, 0, 0};
  kary.x = {2, kNan};
  const auto children = RouteRows<float>(ctx_, kary);
  EXPECT_EQ(children.leaf, (std::vector<int32_t>{1, 0}));
  EXPECT_EQ(children.alternative, (std::vector<int32_t>{2, 0}));
  EXPECT_EQ(children.margin, (std::vector<float>{0, 0}));
}

struct FlipResult {
  std::vector<double> dweight, dbias, dx;
};

template <typename T>
FlipResult FlipRows(Context& ctx, const RouteCase& c, const RouteResult<T>& routed,
                    const std::vector<T>& gain, float tau) {
  const Buffer dweight(ctx.device(), DTypeOf<T>(), c.weight_shape());
  const Buffer dbias(ctx.device(), DTypeOf<T>(), c.bias_shape());
  const Buffer dx(ctx.device(), DTypeOf<T>(), c.x_shape());
  const Buffer own = Upload(ctx, routed.own_plane, c.rows());
  const Buffer other = Upload(ctx, routed.other_plane, c.rows());
  const Buffer margin = Upload(ctx, routed.margin, c.rows());
  FlipBackward(ctx, {dweight, dbias, dx}, Upload(ctx, gain, c.rows()),
               {Upload(ctx, Converted<T>(c.x), c.x_shape()),
                Upload(ctx, Converted<T>(c.weight), c.weight_shape()), /*bias=*/{}, c.shape},
               {own, other, margin}, tau);
  return {Converted<double>(Download<T>(ctx, dweight)), Converted<double>(Download<T>(ctx, dbias)),
          Converted<double>(Download<T>(ctx, dx))};
}

// loss = sum over rows of -gain u(own score - the alternative's): moving a row from its own side
// to the other one changes it by gain.  Decisions held fixed.
TEST(FlipBackward, IsTheDerivativeOfTheSidesWeightedByTheirEffects) {
  Context ctx = Context::Cpu();
  for (RouteCase& c : RouteCases()) {
    if (c.shape.planes() > 100) continue;
    const auto routed = RouteRows<double>(ctx, c);
    const auto gain = Random<double>(c.rows().count(), 11);
    const float tau = 4;
    const auto result = FlipRows<double>(ctx, c, routed, gain, tau);
    std::vector<double> x = Converted<double>(c.x), weight = Converted<double>(c.weight),
                        bias = Converted<double>(c.bias);
    const auto score = [&](int64_t b, int64_t h, int64_t i, int64_t plane) {
      double sum = bias[h * c.shape.planes() + plane];
      for (int64_t d = 0; d < c.E; ++d) {
        sum += x[c.XRow(b, h, i) + d] * weight[(h * c.shape.planes() + plane) * c.E + d];
      }
      return sum;
    };
    const auto loss = [&] {
      double sum = 0;
      for (int64_t row = 0; row < c.B * c.H * c.n; ++row) {
        const int64_t b = row / c.n / c.H, h = row / c.n % c.H, i = row % c.n;
        const int32_t own = routed.own_plane[row];
        if (own < 0) continue;
        const double f = score(b, h, i, own);
        const bool right = routed.margin[row] > 0;
        const double ahead =
            c.shape.binary ? (right ? f : -f) : f - score(b, h, i, routed.other_plane[row]);
        sum -= gain[row] / (1 + std::exp(-2 * ahead / tau));
      }
      return sum;
    };
    ExpectDerivative(loss, weight, result.dweight);
    ExpectDerivative(loss, bias, result.dbias);
    ExpectDerivative(loss, x, result.dx);
  }
}

// A plane's gradient sums at most the rows of one head, a row's at most two planes a head.
TEST_P(RouteOn, FlipBackwardAgreesWithTheReferenceWithTheSameBitsForEveryNumberOfThreads) {
  Context cpu = Context::Cpu();
  const int threads_before = omp_get_max_threads();
  for (const RouteCase& c : RouteCases()) {
    const auto routed = RouteRows<float>(ctx_, c);
    const auto exact_routed = RouteRows<double>(cpu, c);
    const auto gain = Random<float>(c.rows().count(), 11);
    const float tau = 2;  // u' <= 1 / 2
    const auto exact = FlipRows<double>(cpu, c, exact_routed, Converted<double>(gain), tau);
    FlipResult first;
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      const auto fast = FlipRows<float>(ctx_, c, routed, gain, tau);
      if (threads == 1) first = fast;
      EXPECT_EQ(fast.dweight, first.dweight);
      EXPECT_EQ(fast.dbias, first.dbias);
      EXPECT_EQ(fast.dx, first.dx);
    }
    omp_set_num_threads(threads_before);
    const auto expect_near = [](const auto& fast, const auto& reference, double tolerance) {
      for (size_t i = 0; i < fast.size(); ++i) EXPECT_NEAR(fast[i], reference[i], tolerance);
    };
    const double of_plane = SumTolerance(c.B * c.n, 0.5f * 3), of_row = SumTolerance(2 * c.H, 1.5f);
    expect_near(first.dweight, exact.dweight, of_plane);
    expect_near(first.dbias, exact.dbias, of_plane);
    expect_near(first.dx, exact.dx, of_row);
  }
}

// A binary node is a k-ary one with the planes (0, w).
TEST_P(RouteOn, KaryTwoTwoTwoEqualsBinaryHeightThree) {
  RouteCase binary(TreeShape::Binary(3), 2, 90, 2, 2, 6);
  RouteCase kary(TreeShape::Kary({2, 2, 2}), 2, 90, 2, 2, 6);
  kary.weight.assign(kary.weight.size(), 0);
  kary.bias.assign(kary.bias.size(), 0);
  const int64_t P = binary.shape.planes();
  for (int64_t plane = 0; plane < binary.H * P; ++plane) {
    kary.bias[2 * plane + 1] = binary.bias[plane];
    std::copy_n(&binary.weight[plane * 6], 6, &kary.weight[(2 * plane + 1) * 6]);
  }
  const auto one = RouteRows<float>(ctx_, binary), two = RouteRows<float>(ctx_, kary);
  EXPECT_EQ(one.leaf, two.leaf);
  EXPECT_EQ(one.alternative, two.alternative);
  EXPECT_EQ(one.strength, two.strength);
  for (size_t row = 0; row < one.margin.size(); ++row) {
    EXPECT_EQ(std::abs(one.margin[row]), two.margin[row]);
  }
  const auto gain = Random<float>(one.margin.size(), 12);
  const auto flip = FlipRows<float>(ctx_, binary, one, gain, /*tau=*/2);
  const auto kary_flip = FlipRows<float>(ctx_, kary, two, gain, /*tau=*/2);
  EXPECT_EQ(flip.dx, kary_flip.dx);
  for (int64_t plane = 0; plane < binary.H * P; ++plane) {
    EXPECT_EQ(flip.dbias[plane], kary_flip.dbias[2 * plane + 1]);
    for (int64_t d = 0; d < 6; ++d) {
      EXPECT_EQ(flip.dweight[plane * 6 + d], kary_flip.dweight[(2 * plane + 1) * 6 + d]);
    }
  }
}

TEST(Route, TakesAnEmptyBatchAndNullOutputs) {
  Context ctx = Context::Cpu();
  EXPECT_TRUE(RouteRows<float>(ctx, RouteCase(TreeShape::Binary(2), 0, 4, 2, 2, 3)).leaf.empty());
  const RouteCase c(TreeShape::Binary(2), 1, 20, 2, 2, 3);
  const Buffer leaf(Device::kCpu, DType::kInt32, c.rows());
  Route(ctx, {leaf, {}, {}, {}, {}, {}},
        {Upload(ctx, c.x, c.x_shape()), Upload(ctx, c.weight, c.weight_shape()),
         Upload(ctx, c.bias, c.bias_shape()), c.shape},
        Upload(ctx, c.document, {c.B, c.n}).as<int32_t>(), {});
  EXPECT_EQ(Download<int32_t>(ctx, leaf), RouteRows<float>(ctx, c).leaf);
}

TEST(RouteDeathTest, AWrongShapeDies) {
  Context ctx = Context::Cpu();
  RouteCase c(TreeShape::Binary(2), 1, 4, 2, 2, 3);
  c.bias.pop_back();
  EXPECT_DEATH(RouteRows<float>(ctx, c), "");
}

}  // namespace

}  // namespace treeformer
