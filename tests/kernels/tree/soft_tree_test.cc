#include "kernels/tree/dense/soft_tree.h"

#include "tests/kernels/tree/soft_testing.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

std::vector<SoftCase> Cases() {
  return {{{1, 1, 1, 1, TreeShape::Binary(1), 1, false}, 1, false},
          {{2, 13, 2, 3, TreeShape::Binary(3), 1, true}, 2, false},
          {{2, 9, 3, 5, TreeShape::Binary(2), 1, true}, 1, false},
          {{1, 16, 2, 4, TreeShape::Binary(4), 1, true}, 2, true}};
}

// The leaves are random, not where the scores would lead: on the path they decide.
template <typename T>
struct Soft {
  explicit Soft(const SoftCase& s)
      : s(s),
        c(s.tree),
        P(c.shape.planes()),
        L(c.shape.leaves()),
        effect_shape{c.B, c.H, s.same_effect ? 1 : c.n, L},
        x_shape{c.B, c.n, s.x_heads, c.e},
        leaf(c.Leaves(1)),
        effect(Random<T>(effect_shape.count(), 2)),
        x(Eighths<T>(x_shape.count(), 3)),
        weight(Eighths<T>(c.H * P * c.e, 4)),
        bias(Eighths<T>(c.H * P, 5)),
        strength(Random<T>(c.rows(), 6)) {
    for (T& value : strength) value = std::abs(value);
  }
  template <typename Other>
  explicit Soft(const Soft<Other>& other) : Soft(other.s) {
    effect = Converted<T>(other.effect);
    strength = Converted<T>(other.strength);
  }

  void Run() {
    Context ctx = Context::Cpu();
    Run(ctx);
  }
  void Run(Context& ctx) {
    const Shape weights{c.H, P, c.e}, planes{c.H, P};
    const Buffer dweight_on = Upload(ctx, std::vector<T>(weight.size(), 0), weights);
    const Buffer dbias_on = Upload(ctx, std::vector<T>(bias.size(), 0), planes);
    const Buffer dx_on = Upload(ctx, std::vector<T>(x.size(), 0), x_shape);
    SoftTreeBackward(
        ctx, {dweight_on, dbias_on, dx_on}, Upload(ctx, effect, effect_shape),
        {Upload(ctx, x, x_shape), Upload(ctx, weight, weights), Upload(ctx, bias, planes), c.shape},
        Upload(ctx, strength, c.row_shape()), Upload(ctx, leaf, c.row_shape()));
    dweight = Download<T>(ctx, dweight_on);
    dbias = Download<T>(ctx, dbias_on);
    dx = Download<T>(ctx, dx_on);
  }

  int64_t x_row(int64_t b, int64_t h, int64_t i) const {
    return ((b * c.n + i) * s.x_heads + (s.x_heads == 1 ? 0 : h)) * c.e;
  }

  SoftCase s;
  TreeCase c;
  int64_t P, L;
  Shape effect_shape, x_shape;
  std::vector<int32_t> leaf;
  std::vector<T> effect, x, weight, bias, strength, dweight, dbias, dx;
};

// The plane of node `node` of `level`, and the sign of the decision that leads to `leaf` there.
struct Step {
  int64_t plane;
  int sign;
};
std::vector<Step> StepsTo(const TreeShape& shape, int64_t leaf) {
  std::vector<Step> steps;
  for (int level = 0; level < shape.height(); ++level) {
    const int64_t child = NodeAbove(shape, leaf, level + 1);
    steps.push_back({shape.FirstPlane(level) + child / 2, child % 2 == 1 ? 1 : -1});
  }
  return steps;
}

// sum over leaves of softmax(u) effect, u = s sum over the leaf's path of a_t sign: for a = +-1
// this is u = s (h - 2 disagreements).
double RelaxedObjective(const TreeShape& shape, const std::vector<double>& a, double s,
                        const double* effect) {
  double sum = 0, weighted = 0;
  for (int64_t leaf = 0; leaf < shape.leaves(); ++leaf) {
    double u = 0;
    for (const Step& step : StepsTo(shape, leaf)) u += s * a[step.plane] * step.sign;
    sum += std::exp(u);
    weighted += std::exp(u) * effect[leaf];
  }
  return weighted / sum;
}

TEST(SoftTree, BackwardIsTheDerivativeOfTheSoftmaxOverLeafScoresTimesStraightThrough) {
  constexpr double kStep = 1e-5;
  for (const SoftCase& s : Cases()) {
    SCOPED_TRACE(testing::Message() << s.tree);
    Soft<double> soft(s);
    soft.Run();
    const TreeCase& c = s.tree;
    std::vector<double> dweight(soft.dweight.size()), dbias(soft.dbias.size()), dx(soft.dx.size());
    int64_t through = 0, stopped = 0;
    for (int64_t row = 0; row < c.rows(); ++row) {
      if (soft.leaf[row] < 0) continue;
      const int64_t b = row / c.n / c.H, h = row / c.n % c.H, i = row % c.n;
      const int64_t x_row = soft.x_row(b, h, i);
      std::vector<double> f(soft.P), a(soft.P);
      for (int64_t t = 0; t < soft.P; ++t) {
        const int64_t plane = h * soft.P + t;
        f[t] = soft.bias[plane];
        for (int64_t k = 0; k < c.e; ++k) f[t] += soft.weight[plane * c.e + k] * soft.x[x_row + k];
        a[t] = f[t] > 0 ? 1 : -1;
      }
      for (const Step& step : StepsTo(c.shape, soft.leaf[row])) a[step.plane] = step.sign;
      const double* effect = soft.effect.data() + (s.same_effect ? b * c.H + h : row) * soft.L;
      for (int64_t t = 0; t < soft.P; ++t) {
        if (std::abs(f[t]) > 1) {
          ++stopped;
          continue;
        }
        ++through;
        const auto objective = [&](double offset) {
          std::vector<double> moved = a;
          moved[t] += offset;
          return RelaxedObjective(c.shape, moved, soft.strength[row], effect);
        };
        const double df = 2 * (objective(kStep) - objective(-kStep)) / (2 * kStep);
        dbias[h * soft.P + t] += df;
        for (int64_t k = 0; k < c.e; ++k) {
          dweight[(h * soft.P + t) * c.e + k] += df * soft.x[x_row + k];
          dx[x_row + k] += df * soft.weight[(h * soft.P + t) * c.e + k];
        }
      }
    }
    EXPECT_GT(through, 0);
    EXPECT_EQ(stopped > 0, c.n > 1);
    for (size_t k = 0; k < dweight.size(); ++k) ASSERT_NEAR(soft.dweight[k], dweight[k], 1e-7);
    for (size_t k = 0; k < dbias.size(); ++k) ASSERT_NEAR(soft.dbias[k], dbias[k], 1e-7);
    for (size_t k = 0; k < dx.size(); ++k) ASSERT_NEAR(soft.dx[k], dx[k], 1e-7);
  }
}

TEST(SoftTree, EqualEffectsOfAllLeavesGiveNoGradient) {
  Soft<double> soft(Cases()[1]);
  std::fill(soft.effect.begin(), soft.effect.end(), 3.0);
  soft.Run();
  for (double value : soft.dweight) EXPECT_NEAR(value, 0, 1e-14);
}

TEST(SoftTree, GradientsAreAddedToWhatIsThere) {
  Context ctx = Context::Cpu();
  const TreeShape shape = TreeShape::Binary(1);
  std::vector<float> dweight{5}, dbias{7}, dx{9}, x{0.5f}, weight{1}, bias{0}, strength{0.5f};
  const std::vector<float> effect{0, 1};
  const std::vector<int32_t> leaf{1};
  SoftTreeBackward(ctx, {On(dweight, {1, 1, 1}), On(dbias, {1, 1}), On(dx, {1, 1, 1, 1})},
                   On(effect, {1, 1, 1, 2}),
                   {On(x, {1, 1, 1, 1}), On(weight, {1, 1, 1}), On(bias, {1, 1}), shape},
                   On(strength, {1, 1, 1}), On(leaf, {1, 1, 1}));
  // df = 2 s (pi_r - pi_r (pi_r - pi_l)) = 4 s pi_l pi_r
  const float right = 1 / (1 + std::exp(-1.0f)), df = 2 * right * (1 - right);
  EXPECT_FLOAT_EQ(dweight[0], 5 + df * 0.5f);
  EXPECT_FLOAT_EQ(dbias[0], 7 + df);
  EXPECT_FLOAT_EQ(dx[0], 9 + df);
}

TEST(SoftTree, ARowOfNanPassesNoGradientAndHarmsNoOther) {
  const SoftCase s{{1, 9, 1, 3, TreeShape::Binary(2), 1, false}, 1, false};
  for (const int64_t row : {0, 4, 8}) {
    Soft<float> padded(s), broken(s);
    padded.leaf[row] = -1;
    padded.Run();
    for (int64_t k = 0; k < 3; ++k) broken.x[row * 3 + k] = NAN;
    broken.strength[row] = NAN;
    broken.Run();
    EXPECT_EQ(broken.dweight, padded.dweight);
    EXPECT_EQ(broken.dbias, padded.dbias);
    EXPECT_EQ(broken.dx, padded.dx);
    for (int64_t k = 0; k < 3; ++k) EXPECT_EQ(broken.dx[row * 3 + k], 0);
  }
}

TEST(SoftTree, BitsDoNotDependOnTheNumberOfThreads) {
  for (const int64_t x_heads : {1, 3}) {
    Soft<float> soft({{2, 135, 3, 17, TreeShape::Binary(7), 1, true}, x_heads, false});
    ExpectSameBits([&] {
      soft.Run();
      std::vector<float> all = soft.dweight;
      all.insert(all.end(), soft.dbias.begin(), soft.dbias.end());
      all.insert(all.end(), soft.dx.begin(), soft.dx.end());
      return all;
    });
  }
}

TEST(SoftTree, EmptyInputAndHeightZeroAreLeftAlone) {
  Soft<float> no_rows({{2, 0, 1, 3, TreeShape::Binary(2), 1, false}, 1, false});
  no_rows.Run();
  EXPECT_EQ(no_rows.dweight, std::vector<float>(9, 0));
  Soft<float> no_planes({{1, 2, 1, 3, TreeShape::Binary(0), 1, false}, 1, false});
  no_planes.Run();
  EXPECT_EQ(no_planes.dx, std::vector<float>(6, 0));
}

TEST(SoftTreeDeathTest, KaryTreesAreRefused) {
  Soft<float> soft({{1, 2, 1, 3, TreeShape::Kary({3}), 1, false}, 1, false});
  EXPECT_DEATH(soft.Run(), "binary");
}

// A step against the gradient moves the plane towards the rows' other side.
TEST(BalanceEffect, PushesRowsFromACrowdedLeafToAnEmptyOne) {
  for (const int32_t crowded : {0, 1}) {
    Context ctx = Context::Cpu();
    const std::vector<int32_t> leaf(6, crowded);
    const std::vector<float> strength(6, 0.5f), x(6, 0), weight{1};
    const std::vector<float> bias{crowded == 0 ? -0.5f : 0.5f};
    std::vector<float> effect(2), dweight(1), dbias(1), dx(6);
    BalanceEffect(ctx, On(effect, {1, 1, 1, 2}), On(leaf, {1, 1, 6}), /*weight=*/1);
    SoftTreeBackward(
        ctx, {On(dweight, {1, 1, 1}), On(dbias, {1, 1}), On(dx, {1, 6, 1, 1})},
        On(effect, {1, 1, 1, 2}),
        {On(x, {1, 6, 1, 1}), On(weight, {1, 1, 1}), On(bias, {1, 1}), TreeShape::Binary(1)},
        On(strength, {1, 1, 6}), On(leaf, {1, 1, 6}));
    // dL/df of a row = +-4 s pi_0 pi_1 effect, effect = 2 / 6, and there are 6 rows
    const double pi = 1 / (1 + std::exp(-1.0));
    EXPECT_NEAR(dbias[0], (crowded == 0 ? -1 : 1) * 6 * 2 * pi * (1 - pi) * 2 / 6, 1e-6);
  }
}

class BalanceEffectOn : public BackendTest {};
INSTANTIATE_BACKENDS(BalanceEffectOn);

// effect = weight L f / rows: 3 rows in leaf 0, 1 in leaf 2, one of padding.
TEST_P(BalanceEffectOn, IsTheShareOfEveryLeaf) {
  const Buffer leaf = Upload<int32_t>(ctx_, {0, 2, 0, -1, 0, -1, -1, -1, -1, -1}, {2, 1, 5});
  const Buffer effect = Upload<float>(ctx_, std::vector<float>(8, 9), {2, 1, 1, 4});
  BalanceEffect(ctx_, effect, leaf, /*weight=*/0.5f);
  EXPECT_EQ(Download<float>(ctx_, effect), (std::vector<float>{0.375f, 0, 0.125f, 0, 0, 0, 0, 0}));
}

class SoftTreeBackendTest : public Float32Test {};
INSTANTIATE_BACKENDS(SoftTreeBackendTest);

// |df| <= 2 s (1 + 1) max |effect| <= 4, after about 3 h roundings of pi and G.
TEST_P(SoftTreeBackendTest, AgreesWithTheReference) {
  std::vector<SoftCase> cases = Cases();
  cases.push_back({{1, 33, 2, 31, TreeShape::Binary(5), 1, true}, 2, false});
  cases.push_back({{2, 65, 3, 64, TreeShape::Binary(3), 1, true}, 1, false});
  cases.push_back({{1, 130, 1, 33, TreeShape::Binary(7), 1, false}, 1, true});
  for (const SoftCase& s : cases) {
    SCOPED_TRACE(testing::Message() << s.tree);
    Soft<float> fast(s);
    fast.Run(ctx_);
    Soft<double> exact(fast);
    exact.Run();
    const int64_t rows = s.tree.B * s.tree.n, planes = fast.P * s.tree.H / s.x_heads;
    const float df = 4, roundings = 3 * s.tree.shape.height() + 8;
    const float df_error = roundings * df * std::numeric_limits<float>::epsilon();
    const auto tolerance = [&](int64_t terms) {
      return std::sqrt(static_cast<float>(terms)) * df_error + SumTolerance(terms, df);
    };
    ExpectClose(fast.dweight, exact.dweight, tolerance(rows), "dweight");
    ExpectClose(fast.dbias, exact.dbias, tolerance(rows), "dbias");
    ExpectClose(fast.dx, exact.dx, tolerance(planes), "dx");
  }
}

}  // namespace

}  // namespace treeformer
