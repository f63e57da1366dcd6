// Trees on a GPU, where there is one, launchers included: routing, its gradients, the effects of
// leaves.  Attention: attention_device_test.cc; buckets: tests/kernels/tree/buckets_test.cc.

#include "tests/kernels/cuda/dense_case.h"
#include "tests/kernels/cuda/device_testing.h"
#include "tests/kernels/cuda/flip_case.h"
#include "tests/kernels/cuda/soft_case.h"

namespace treeformer {

namespace {

using namespace emulated_testing;
using dense_case::Dense;
using flip_case::FlipCase;
using route_case::RouteCase;
using route_case::RouteResult;
using soft_case::Soft;
using tree_testing::Collapse;
using tree_testing::TreeCase;

class TreeDevice : public DeviceTest {
 protected:
  RouteResult<float> RouteOn(const RouteCase& c) {
    const Tensor<int32_t> leaf = IdOutput(c.rows()), alternative = IdOutput(c.rows());
    const Tensor<int32_t> own = IdOutput(c.rows()), other = IdOutput(c.rows());
    const Tensor<float> strength = FloatOutput(c.rows()), margin = FloatOutput(c.rows());
    const Tensor<BFloat16> x = Put(ToBFloat16(c.x), c.x_shape());
    const Tensor<float> weight = Put(c.weight, c.weight_shape()),
                        bias = Put(c.bias, c.bias_shape());
    const Tensor<int32_t> document = Put(c.document, {c.B, c.n});
    Route(*ctx_, {leaf, strength, alternative, own, other, margin}, {x, weight, bias, c.shape},
          document, c.rule);
    return {leaf.values(),  alternative.values(), own.values(),
            other.values(), strength.values(),    margin.values()};
  }

  // The gradients are added to those of `c`.
  FlipCase FlipOn(const FlipCase& c) {
    const RouteCase& r = c.rows;
    const Tensor<float> dweight = Put(c.dweight, r.weight_shape());
    const Tensor<float> dbias = Put(c.dbias, r.bias_shape()), gain = Put(c.gain, r.rows());
    const Tensor<float> weight = Put(r.weight, r.weight_shape()), margin = Put(c.margin, r.rows());
    const Tensor<BFloat16> dx = Put(c.dx, r.x_shape()), x = Put(ToBFloat16(r.x), r.x_shape());
    const Tensor<int32_t> own = Put(c.routed.own_plane, r.rows());
    const Tensor<int32_t> other = Put(c.routed.other_plane, r.rows());
    FlipBackward(*ctx_, {dweight, dbias, dx}, gain, {x, weight, /*bias=*/{}, r.shape},
                 {own, other, margin}, flip_case::kTau);
    FlipCase result = c;
    result.dweight = dweight.values(), result.dbias = dbias.values(), result.dx = dx.values();
    return result;
  }
  void ExpectFlip(FlipCase c) {
    const FlipCase result = FlipOn(c), again = FlipOn(c);
    ExpectGradients(result, ExpectedGradients(c));
    EXPECT_EQ(result.dweight, again.dweight);
    EXPECT_EQ(result.dbias, again.dbias);
    EXPECT_EQ(ToFloat(result.dx), ToFloat(again.dx));
  }

  Soft SoftOn(const Soft& soft) {
    const TreeCase& c = soft.c;
    const Shape weights{c.H, soft.P, c.e}, planes{c.H, soft.P};
    const Tensor<float> dweight = Put(soft.dweight, weights), dbias = Put(soft.dbias, planes);
    const Tensor<float> weight = Put(soft.weight, weights), bias = Put(soft.bias, planes);
    const Tensor<float> effect = Put(soft.effect, soft.effect_shape);
    const Tensor<float> strength = Put(soft.strength, c.row_shape());
    const Tensor<BFloat16> dx = Put(soft.dx, soft.x_shape), x = Put(soft.x, soft.x_shape);
    SoftTreeBackward(*ctx_, {dweight, dbias, dx}, effect, {x, weight, bias, c.shape}, strength,
                     Put(soft.leaf, c.row_shape()));
    Soft result = soft;
    result.dweight = dweight.values(), result.dbias = dbias.values(), result.dx = dx.values();
    return result;
  }
  void ExpectSoft(const Soft& soft) {
    const Soft result = SoftOn(soft), again = SoftOn(soft);
    ExpectResults(result, soft_case::Expected(soft));
    EXPECT_EQ(result.dweight, again.dweight);
    EXPECT_EQ(result.dbias, again.dbias);
    EXPECT_EQ(ToFloat(result.dx), ToFloat(again.dx));
  }

  void RunOn(Dense& dense) {
    const TreeCase& c = dense.c;
    const auto rows = [&](const auto& values) { return Put(values, c.x_shape()); };
    const auto lists = [&](const auto& values) { return Put(values, c.row_shape()); };
    const Tensor<float> query = FloatOutput(c.effect_shape()), key = FloatOutput(c.effect_shape());
    DenseLeafEffects(*ctx_, query, key,
                     {rows(dense.d_o), rows(dense.q), rows(dense.k), rows(dense.v),
                      lists(dense.lse), lists(dense.delta), lists(dense.query_leaf),
                      lists(dense.key_leaf), Put(dense.document, {c.B, c.n}), dense.options});
    dense.query_effect = query.values(), dense.key_effect = key.values();
  }
  void ExpectDense(Dense& dense) {
    std::vector<double> query(dense.c.effects()), key(dense.c.effects());
    dense.Reference(query, key);
    RunOn(dense);
    dense_testing::ExpectNear(dense.query_effect, query, Tolerance(dense), "query effect");
    dense_testing::ExpectNear(dense.key_effect, key, Tolerance(dense), "key effect");
    Dense again = dense;
    RunOn(again);
    EXPECT_EQ(again.query_effect, dense.query_effect);
    EXPECT_EQ(again.key_effect, dense.key_effect);
  }
};

std::vector<RouteCase> RouteCases() {
  std::vector<RouteCase> cases = route_case::RouteCases();
  cases.emplace_back(TreeShape::Kary({3, 4}), 2, 67, 2, 2, 32);
  cases.emplace_back(TreeShape::Kary({3, 4}), 1, 131, 3, 1, 128);
  return cases;
}

// Planes of zeros, which decide nothing: every row goes to the first leaf.
RouteCase Collapsed(RouteCase c) {
  for (auto* values : {&c.weight, &c.bias}) std::fill(values->begin(), values->end(), 0.0f);
  return c;
}

TEST_F(TreeDevice, RouteFollowsTheReferenceOnExactScoresWithTiesAndNan) {
  for (RouteCase& c : RouteCases()) {
    SCOPED_TRACE(testing::Message() << c.shape.leaves() << " leaves, E = " << c.E);
    const RouteCase collapsed = Collapsed(c);
    route_case::ExpectSame(RouteOn(collapsed), route_case::Expected(collapsed), c.shape.height());
    for (size_t p = 0; p < c.bias.size(); p += 7) c.bias[p] = NAN;
    if (c.n > 30) c.x[29 * c.x_heads * c.E] = NAN;
    for (const FlipChoice choice : {FlipChoice::kMinMargin, FlipChoice::kRandom}) {
      c.rule = {choice, {/*seed=*/5, /*step=*/6, /*site=*/7}, /*offset=*/99};
      route_case::ExpectSame(RouteOn(c), route_case::Expected(c), c.shape.height());
    }
  }
}

TEST_F(TreeDevice, RouteLeavesOutWhatIsNotAskedFor) {
  const RouteCase c(TreeShape::Binary(3), 1, 40, 2, 2, 8);
  const Tensor<int32_t> leaf = IdOutput(c.rows());
  Route(*ctx_, {leaf, {}, {}, {}, {}, {}},
        {Put(ToBFloat16(c.x), c.x_shape()), Put(c.weight, c.weight_shape()),
         Put(c.bias, c.bias_shape()), c.shape},
        Put(c.document, {c.B, c.n}), c.rule);
  EXPECT_EQ(leaf.values(), route_case::Expected(c).leaf);
}

// Also chunks with one plane and with many, a list that more than one block sorts, and all rows
// flipped at the last of many planes.
TEST_F(TreeDevice, FlipBackwardAddsTheReferencesGradientsWithTheSameBitsTwice) {
  std::vector<RouteCase> cases = RouteCases();
  cases.emplace_back(TreeShape::Binary(1), 1, 389, 1, 1, 8);
  cases.emplace_back(TreeShape::Kary({9}), 1, 389, 2, 1, 70);
  cases.emplace_back(TreeShape::Binary(2), 67, 3, 2, 2, 4);
  cases.emplace_back(TreeShape::Binary(2), 1, 16385, 1, 1, 8);
  for (const RouteCase& c : cases) {
    SCOPED_TRACE(testing::Message()
                 << c.shape.leaves() << " leaves, n = " << c.n << ", E = " << c.E);
    ExpectFlip(FlipCase(c));
  }
  FlipCase c(RouteCase(TreeShape::Binary(5), 2, 67, 2, 2, 8));
  Collapse(c.routed.own_plane, static_cast<int32_t>(c.rows.shape.planes()) - 1);
  ExpectFlip(c);
}

TEST_F(TreeDevice, SoftTreeBackwardAddsTheReferencesGradientsWithTheSameBitsTwice) {
  std::vector<tree_testing::SoftCase> cases = soft_case::Cases();
  cases.push_back({{1, 67, 2, 96, TreeShape::Binary(3), 2, true}, 1, false});
  cases.push_back({{1, 65, 2, 128, TreeShape::Binary(4), 1, true}, 2, false});
  for (const auto& s : cases) {
    SCOPED_TRACE(testing::Message() << s.tree);
    Soft soft(s);
    ExpectSoft(soft);
    Collapse(soft.leaf, static_cast<int32_t>(soft.c.shape.leaves()) - 1);
    ExpectSoft(soft);
  }
}

TEST_F(TreeDevice, BalanceEffectIsTheReferenceForAnyNumberOfLeaves) {
  for (const int height : {0, 2, 12}) {
    for (const int64_t n : {1, 255, 257, 1031}) {
      const TreeCase c{2, n, 3, 1, TreeShape::Binary(height), 1, true};
      const Shape effects{c.B, c.H, 1, c.shape.leaves()};
      std::vector<int32_t> leaf = c.Leaves(3);
      std::fill_n(leaf.begin(), n, -1);                                    // nothing but padding
      for (int64_t i = n; i < 2 * n; ++i) leaf[i] = std::min(leaf[i], 0);  // one leaf
      std::vector<double> expected(effects.count());
      reference::BalanceEffect<double>(testing_util::HostContext(),
                                       tree_testing::On(expected, effects),
                                       tree_testing::On(std::as_const(leaf), c.row_shape()),
                                       /*weight=*/0.7f);
      const Tensor<float> effect = FloatOutput(effects);
      BalanceEffect(*ctx_, effect, Put(leaf, c.row_shape()), /*weight=*/0.7f);
      dense_testing::ExpectNear(
          effect.values(), expected,
          [&](int64_t i) { return 6 * dense_testing::kRounding * expected[i]; }, "effect");
    }
  }
}

TEST_F(TreeDevice, DenseLeafEffectsAreTheReferenceOnRoundedOperandsWithTheSameBitsTwice) {
  std::vector<TreeCase> trees = dense_case::Trees();
  trees.push_back({1, 67, 1, 32, TreeShape::Kary({3, 4}), 2, true});
  trees.push_back({1, 70, 1, 96, TreeShape::Binary(6), 2, true});
  trees.push_back({1, 65, 1, 128, TreeShape::Binary(1), 1, false});
  for (const TreeCase& c : trees) {
    for (const DenseTerms terms :
         {DenseTerms::kClamped, DenseTerms::kBounded, DenseTerms::kInLeaf}) {
      const bool causal = terms != DenseTerms::kBounded;
      SCOPED_TRACE(testing::Message() << c << " terms " << static_cast<int>(terms));
      Dense dense(c, {terms, /*clamp=*/1.5f, causal});
      ExpectDense(dense);
      const auto last = static_cast<int32_t>(c.shape.leaves()) - 1;
      Collapse(dense.query_leaf, last);
      Collapse(dense.key_leaf, causal ? 0 : last);
      dense.SetLse();
      ExpectDense(dense);
    }
  }
}

}  // namespace

}  // namespace treeformer
