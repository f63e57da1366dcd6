#include "kernels/adamw.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;

class Optimizer : public BackendTest {};

struct Operands {
  explicit Operands(int64_t count)
      : w(Random<float>(count, 1)),
        m(Random<float>(count, 2)),
        v(Random<float>(count, 3)),
        gradient(Random<float>(count, 4)) {
    for (float& value : v) value = std::abs(value);
  }
  std::vector<float> w, m, v, gradient;
};

const AdamWOptions kOptions{.learning_rate = 0.125, .weight_decay = 0.25, .t = 3};
constexpr float kScale = 0.5f;

// The update written once more, from the paper's algorithm, for one step from rest.
TEST(AdamWReference, TheFirstStepIsTheSignOfTheGradientAndTheDecay) {
  std::vector<double> w{1, -2, 3}, m(3), v(3), gradient{0.5, -4, 0}, scale{2};
  const AdamWOptions options{.learning_rate = 0.1, .epsilon = 1e-12, .weight_decay = 0.5};
  reference::AdamW<double>(testing_util::HostContext(), On(w, {3}), On(m, {3}), On(v, {3}),
                           On(gradient, {3}), On(scale, {1}), options, {});
  EXPECT_NEAR(w[0], 1 - 0.1 * (1 + 0.5 * 1), 1e-11);
  EXPECT_NEAR(w[1], -2 - 0.1 * (-1 + 0.5 * -2), 1e-11);
  EXPECT_NEAR(w[2], 3 - 0.1 * (0.5 * 3), 1e-11);
  EXPECT_NEAR(m[0], 0.1 * 1, 1e-15);
  EXPECT_NEAR(v[1], 0.001 * 64, 1e-15);
}

TEST(AdamWReference, ALevelHasTheStepOfItsOwnUpdates) {
  std::vector<double> w(4), m(4), v(4), gradient(4, 1), scale{1};
  AdamWOptions options{.learning_rate = 1, .epsilon = 1e-12, .weight_decay = 0};
  options.levels = {{1, 3}, {2, 1}};
  reference::AdamW<double>(testing_util::HostContext(), On(w, {2, 2}), On(m, {2, 2}), On(v, {2, 2}),
                           On(gradient, {2, 2}), On(scale, {1}), options, {});
  const double late = 0.1 / (1 - 0.9 * 0.9 * 0.9) / std::sqrt(0.001 / (1 - 0.999 * 0.999 * 0.999));
  for (int64_t h = 0; h < 2; ++h) {
    EXPECT_NEAR(w[2 * h], -late, 1e-11);
    EXPECT_NEAR(w[2 * h + 1], -1, 1e-11);  // from rest: the sign of the gradient
  }
}

// m: three roundings of numbers up to 1; v: four.  The step is a quotient with eight roundings of
// its parts, 4 where sqrt v is not small, and relative to itself otherwise.
TEST_P(Optimizer, AdamWAgreesWithTheReference) {
  for (int64_t count : {0, 1, 7, 16, 17, 257, 16385}) {
    SCOPED_TRACE(count);
    const Shape shape{count};
    const Operands in(count);
    auto w = Wide(in.w), m = Wide(in.m), v = Wide(in.v), gradient = Wide(in.gradient);
    std::vector<double> scale{kScale};
    reference::AdamW<double>(testing_util::HostContext(), On(w, shape), On(m, shape), On(v, shape),
                             On(gradient, shape), On(scale, {1}), kOptions, {});
    const Tensor<float> w_on(ctx_, shape, in.w), m_on(ctx_, shape, in.m), v_on(ctx_, shape, in.v);
    const Tensor<float> gradient_on(ctx_, shape, in.gradient), scale_on(ctx_, {1}, {kScale});
    AdamW(ctx_, w_on, m_on, v_on, gradient_on, scale_on, kOptions, {});
    ExpectNear(m_on.values(), m, 4 * kRounding, "m");
    ExpectNear(
        v_on.values(), v, [&](int64_t i) { return 5 * kRounding * v[i]; }, "v");
    auto tolerance = [&](int64_t i) {
      const double root = std::sqrt(v[i] / (1 - std::pow(0.999, 3)));
      const double step_error = (4 / (1 - std::pow(0.9, 3)) + 12 * std::abs(m[i]) * 4) / root;
      return 0.125 * step_error * kRounding + 3 * kRounding;
    };
    ExpectNear(w_on.values(), w, tolerance, "w");
  }
}

// [H, K, E] = [2, 7, 3]: the levels of three binary planes and the four of the next, and one level
// more than fits a vector.  Each level by itself, as a whole with its own t, has the same bits.
TEST_P(Optimizer, LevelsBornLaterAreCorrectedForTheirOwnUpdatesAlone) {
  const Shape shape{2, 7, 3};
  AdamWOptions options = kOptions;
  options.levels = {{1, 900}, {3, 40}, {7, 2}};
  const Operands in(shape.count());
  const Tensor<float> w(ctx_, shape, in.w), m(ctx_, shape, in.m), v(ctx_, shape, in.v);
  const Tensor<float> gradient(ctx_, shape, in.gradient), scale(ctx_, {1}, {kScale});
  const Tensor<BFloat16> copy(ctx_, shape, std::vector<BFloat16>(shape.count()));
  AdamW(ctx_, w, m, v, gradient, scale, options, copy);
  int64_t begin = 0;
  for (const AdamWLevel& level : options.levels) {
    const Tensor<float> w_all(ctx_, shape, in.w), m_all(ctx_, shape, in.m),
        v_all(ctx_, shape, in.v);
    AdamWOptions at_once = kOptions;
    at_once.t = level.t;
    AdamW(ctx_, w_all, m_all, v_all, gradient, scale, at_once, {});
    for (int64_t i = 0; i < shape.count(); ++i) {
      if (i / 3 % 7 < begin || i / 3 % 7 >= level.end) continue;
      EXPECT_EQ(w.values()[i], w_all.values()[i]) << i;
      EXPECT_EQ(m.values()[i], m_all.values()[i]) << i;
      EXPECT_EQ(v.values()[i], v_all.values()[i]) << i;
      std::vector<float> one{w_all.values()[i]};
      std::vector<BFloat16> rounded(1);
      reference::RoundToBFloat16<float>(testing_util::HostContext(), On(rounded, {1}),
                                        On(one, {1}));
      EXPECT_EQ(copy.values()[i].bits, rounded[0].bits) << i;
    }
    begin = level.end;
  }
}

TEST_P(Optimizer, NotANumberStaysNotANumber) {
  const Tensor<float> w(ctx_, {2}, {1, 1}), m(ctx_, {2}, {0, 0}), v(ctx_, {2}, {0, 0});
  const Tensor<float> gradient(ctx_, {2}, {NAN, 0}), scale(ctx_, {1}, {1});
  AdamW(ctx_, w, m, v, gradient, scale, kOptions, {});
  EXPECT_TRUE(std::isnan(w.values()[0]));
  EXPECT_TRUE(std::isnan(m.values()[0]));
  EXPECT_TRUE(std::isnan(v.values()[0]));
  EXPECT_FALSE(std::isnan(w.values()[1]));
}

// Squares of small integers: every sum is exact, whatever its order.
TEST_P(Optimizer, SquaredNormSumsEveryElementOnce) {
  for (int64_t count : {0, 1, 15, 16, 17, 16383, 16384, 16385, 40000}) {
    std::vector<float> x(count);
    double expected = 0;
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(i % 101);
      expected += static_cast<double>(x[i]) * x[i];
    }
    const Tensor<float> x_on(ctx_, {count}, x);
    const Tensor<double> sum(ctx_, {1});
    SquaredNorm(ctx_, sum, x_on);
    EXPECT_EQ(sum.values()[0], expected) << count;
  }
}

TEST_P(Optimizer, ClipScaleAveragesAndClips) {
  struct Case {
    double squared_norm, count, max_norm, scale;
  };
  // The norm of the average is sqrt(squared_norm) / count.
  for (const auto& [squared_norm, count, max_norm, scale] :
       {Case{64, 2, 0, 0.5}, Case{64, 2, 8, 0.5}, Case{64, 2, 4, 0.5}, Case{64, 2, 1, 0.125},
        Case{0, 4, 1, 0.25}}) {
    const Tensor<double> norm_on(ctx_, {1}, {squared_norm});
    const Tensor<float> scale_on(ctx_, {1});
    ClipScale(ctx_, scale_on, norm_on, Tensor<double>(ctx_, {1}, {count}), max_norm);
    EXPECT_EQ(scale_on.values()[0], static_cast<float>(scale));
  }
}

TEST_P(Optimizer, AGradientThatIsNotFiniteOrOfNoTargetChangesNothing) {
  const double nan = NAN, infinity = INFINITY;
  for (const auto& [squared_norm, count] : {std::pair{nan, 1.0}, {infinity, 1.0}, {0.0, 0.0}}) {
    for (const double max_norm : {0, 1}) {
      const Tensor<double> norm_on(ctx_, {1}, {squared_norm});
      const Tensor<float> scale_on(ctx_, {1});
      ClipScale(ctx_, scale_on, norm_on, Tensor<double>(ctx_, {1}, {count}), max_norm);
      EXPECT_TRUE(std::isnan(scale_on.values()[0]));
      const std::vector<float> w = Random<float>(33, 1);
      const Tensor<float> w_on(ctx_, {33}, w), m_on(ctx_, {33}, w), v_on(ctx_, {33}, w);
      AdamW(ctx_, w_on, m_on, v_on, m_on, scale_on, AdamWOptions(), /*copy=*/Out());
      for (const Tensor<float>* state : {&w_on, &m_on, &v_on}) EXPECT_EQ(state->values(), w);
    }
  }
}

INSTANTIATE_BACKENDS(Optimizer);

TEST(OptimizerCpu, TheNumberOfThreadsChangesNoBit) {
  Context ctx = Context::Cpu();
  constexpr int64_t kCount = 70001;
  const Operands in(kCount);
  const Tensor<float> gradient(ctx, {kCount}, in.gradient), scale(ctx, {1}, {kScale});
  const Tensor<double> sum(ctx, {1});
  ExpectSameBits([&] {
    const Tensor<float> w(ctx, {kCount}, in.w), m(ctx, {kCount}, in.m), v(ctx, {kCount}, in.v);
    AdamW(ctx, w, m, v, gradient, scale, kOptions, {});
    return w.values();
  });
  std::vector<double> sums;
  ExpectSameBits([&] {
    SquaredNorm(ctx, sum, gradient);
    sums.push_back(sum.values()[0]);
    return std::vector<float>{};
  });
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(AdamWReference, TheBFloat16CopyIsRoundedToEven) {
  // 1 + 2^-8 and 1 + 3 2^-8 lie halfway between neighbours
  std::vector<float> w{1, 1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1 + 0x1.01p-8f, NAN}, m(5), v(5), g(5);
  std::vector<float> scale{1};
  std::vector<BFloat16> copy(5);
  const AdamWOptions options{.weight_decay = 0};
  reference::AdamW<float>(testing_util::HostContext(), On(w, {5}), On(m, {5}), On(v, {5}),
                          On(g, {5}), On(scale, {1}), options, On(copy, {5}));
  EXPECT_EQ(copy[0].bits, 0x3f80);
  EXPECT_EQ(copy[1].bits, 0x3f80);
  EXPECT_EQ(copy[2].bits, 0x3f82);
  EXPECT_EQ(copy[3].bits, 0x3f81);
  EXPECT_EQ(copy[4].bits, 0x7fc0);
}

TEST(OptimizerDeathTest, WrongShapeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> a(ctx, {3}), b(ctx, {4}), scale(ctx, {1}, {1});
  EXPECT_DEATH(AdamW(ctx, a, a, b, a, scale, kOptions, {}), "v.shape");
  EXPECT_DEATH(AdamW(ctx, a, a, a, a, b, kOptions, {}), "scale.count");
  EXPECT_DEATH(AdamW(ctx, a, a, a, a, scale, AdamWOptions{.t = 0}, {}), "options.t");
  const Tensor<float> heads(ctx, {1, 3});
  AdamWOptions options;
  options.levels = {{2, 1}};
  EXPECT_DEATH(AdamW(ctx, heads, heads, heads, heads, scale, options, {}), "entries of the levels");
}

}  // namespace

}  // namespace treeformer
