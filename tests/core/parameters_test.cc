#include "core/parameters.h"

#include "core/training/carry.h"
#include "core/training/optimizer.h"
#include "tests/testing.h"

namespace treeformer {

namespace {

Parameters Declared() {
  Parameters parameters;
  parameters.Declare("a", {3, 5}, Initializer::Normal(0.02f), Role::kWeight);
  parameters.Declare("b", {7}, Initializer::Constant(0.25f), Role::kBias);
  parameters.Declare("c", {16, 4}, Initializer::Normal(1), Role::kWeight);
  return parameters;
}

TEST(Parameters, BeginAtMultiplesOfTheAlignmentAndTileTheBuffer) {
  const Parameters parameters = Declared();
  EXPECT_EQ(parameters.list()[0].range, (Range{0, 15}));
  EXPECT_EQ(parameters.list()[1].range, (Range{16, 23}));
  EXPECT_EQ(parameters.list()[2].range, (Range{32, 96}));
  EXPECT_EQ(parameters.count(), 96);
  EXPECT_EQ(parameters.CountScalars(), 15 + 7 + 64);
  EXPECT_EQ(parameters.RangeOf(0, 1), (Range{0, 16}));
  EXPECT_EQ(parameters.RangeOf(1, 3), (Range{16, 96}));
  EXPECT_EQ(parameters.RangeOf(3, 3), (Range{96, 96}));
}

TEST(Parameters, AreFoundByName) {
  const Parameters parameters = Declared();
  ASSERT_NE(parameters.Find("b"), nullptr);
  EXPECT_EQ(parameters.Find("b")->shape, Shape({7}));
  EXPECT_EQ(parameters.Find("b")->role, Role::kBias);
  EXPECT_EQ(parameters.Find("d"), nullptr);
}

TEST(Parameters, LeaveTheGapsZero) {
  Context ctx = Context::Cpu();
  Parameters parameters = Declared();
  parameters.Allocate(ctx, DType::kFloat32);
  parameters.Initialize(ctx, /*seed=*/1);
  const View<float> values = parameters.values();
  EXPECT_EQ(values[15], 0);
  for (int64_t i = 16; i < 23; ++i) EXPECT_EQ(values[i], 0.25f);
  for (int64_t i = 23; i < 32; ++i) EXPECT_EQ(values[i], 0);
}

TEST(Parameters, InitialValuesDependOnSeedAndNameButNotOnTheirPlace) {
  Context ctx = Context::Cpu();
  Parameters first = Declared(), second, other_seed = Declared();
  second.Declare("d", {100}, Initializer::Normal(1), Role::kWeight);
  second.Declare("c", {16, 4}, Initializer::Normal(1), Role::kWeight);
  first.Allocate(ctx, DType::kFloat32);
  second.Allocate(ctx, DType::kFloat64);
  other_seed.Allocate(ctx, DType::kFloat32);
  first.Initialize(ctx, /*seed=*/1);
  second.Initialize(ctx, /*seed=*/1);
  other_seed.Initialize(ctx, /*seed=*/2);
  const auto c = first.value(2).as<float>(), c_other = other_seed.value(2).as<float>();
  const auto c_double = second.value(1).as<double>(), d = second.value(0).as<double>();
  for (int64_t i = 0; i < 64; ++i) {
    EXPECT_EQ(c[i], c_double[i]);
    EXPECT_NE(c[i], c_other[i]);
    EXPECT_NE(c[i], d[i]);
  }
}

TEST(Parameters, AnotherDrawGivesOtherRandomValues) {
  Context ctx = Context::Cpu();
  Parameters first = Declared(), again = Declared();
  for (Parameters* parameters : {&first, &again}) parameters->Allocate(ctx, DType::kFloat32);
  first.Initialize(ctx, /*seed=*/1);
  again.Initialize(ctx, /*seed=*/1, /*draw=*/1);
  const auto c = first.value(2).as<float>(), c_again = again.value(2).as<float>();
  for (int64_t i = 0; i < 64; ++i) EXPECT_NE(c[i], c_again[i]);
  EXPECT_EQ(again.value(1).as<float>()[0], 0.25f);
}

TEST(Parameters, NormalValuesHaveTheirMoments) {
  Context ctx = Context::Cpu();
  Parameters parameters;
  constexpr int64_t kCount = 1 << 16;
  parameters.Declare("a", {kCount}, Initializer::Normal(2), Role::kWeight);
  parameters.Allocate(ctx, DType::kFloat32);
  parameters.Initialize(ctx, /*seed=*/5);
  const auto a = parameters.value(0).as<float>();
  double sum = 0, squares = 0, neighbours = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    sum += a[i] / 2;
    squares += a[i] * a[i] / 4;
    if (i > 0) neighbours += a[i] * a[i - 1] / 4;
  }
  // Five standard errors: of a mean of N(0, 1), of chi-squared (variance 2), of a product.
  const double error = 5 / std::sqrt(kCount);
  EXPECT_NEAR(sum / kCount, 0, error);
  EXPECT_NEAR(squares / kCount, 1, error * std::sqrt(2));
  EXPECT_NEAR(neighbours / kCount, 0, error);
}

TEST(Parameters, GradientsAreWindowsOnOneBufferAndZeroAgain) {
  Context ctx = Context::Cpu();
  Parameters parameters = Declared();
  parameters.Allocate(ctx, DType::kFloat32);
  View<float> gradient = parameters.gradient(1);
  gradient[6] = 3;
  EXPECT_EQ(parameters.gradients().as<float>()[22], 3);
  parameters.ZeroGradients(ctx);
  EXPECT_EQ(gradient[6], 0);
}

// Every value that the operations read is its float32 master, rounded.
void ExpectRounded(const Parameters& parameters) {
  const View<float> values = parameters.values();
  std::vector<BFloat16> expected(values.count());
  reference::RoundToBFloat16<float>(testing_util::HostContext(),
                                    View<BFloat16>(expected.data(), values.shape()), values);
  const View<BFloat16> rounded = parameters.rounded_values();
  for (int64_t i = 0; i < values.count(); ++i) EXPECT_EQ(rounded[i].bits, expected[i].bits) << i;
}

TEST(Parameters, OfABFloat16ModelAreFloat32WithARoundedCopyForTheOperations) {
  Context ctx = Context::Cpu();
  Parameters parameters = Declared(), single = Declared();
  parameters.Allocate(ctx, DType::kBFloat16);
  single.Allocate(ctx, DType::kFloat32);
  EXPECT_FALSE(single.rounded_values());
  parameters.Initialize(ctx, /*seed=*/1);
  single.Initialize(ctx, /*seed=*/1);
  const OptimizerState state(ctx, parameters);
  for (Out buffer :
       {parameters.values(), parameters.gradients(), state.moments(OptimizerState::kFirst),
        state.moments(OptimizerState::kSecond)}) {
    EXPECT_EQ(buffer.dtype(), DType::kFloat32);
  }
  EXPECT_EQ(parameters.value(2).dtype(), DType::kBFloat16);
  EXPECT_EQ(parameters.value(2).shape(), Shape({16, 4}));
  for (int64_t i = 0; i < 96; ++i) {
    EXPECT_EQ(parameters.values().as<float>()[i], single.values().as<float>()[i]);
  }
  ExpectRounded(parameters);
}

TEST(Parameters, TheRoundedCopyFollowsTheOptimizerInItsRange) {
  Context ctx = Context::Cpu();
  Parameters parameters = Declared(), before = Declared();
  for (Parameters* p : {&parameters, &before}) {
    p->Allocate(ctx, DType::kBFloat16);
    p->Initialize(ctx, /*seed=*/1);
  }
  for (int64_t i = 0; i < 96; ++i) parameters.gradients().as<float>()[i] = 1;
  double squared_norm = 96;
  const double one_target = 1;
  Optimizer optimizer({.learning_rate = 0.125});
  OptimizerState shard(ctx, parameters, {16, 64});
  optimizer.Step(ctx, parameters, shard, {&squared_norm, {1}}, {&one_target, {1}},
                 /*learning_rate=*/0.125, /*t=*/1);
  ExpectRounded(parameters);
  for (int64_t i = 0; i < 96; ++i) {
    const bool moved = parameters.rounded_values().as<BFloat16>()[i].bits !=
                       before.rounded_values().as<BFloat16>()[i].bits;
    EXPECT_EQ(moved, 16 <= i && i < 64) << i;
  }
}

TEST(Parameters, TheRoundedCopyFollowsWhatIsCarriedOver) {
  Context ctx = Context::Cpu();
  Parameters from = Declared(), to = Declared();
  for (Parameters* p : {&from, &to}) p->Allocate(ctx, DType::kBFloat16);
  from.Initialize(ctx, /*seed=*/1);
  OptimizerState from_state(ctx, from), to_state(ctx, to);
  CarryParameters(ctx, to, to_state, from, from_state, {});
  EXPECT_EQ(to.values().as<float>()[40], from.values().as<float>()[40]);
  ExpectRounded(to);
}

TEST(ParametersDeathTest, ANameDeclaredTwiceDies) {
  Parameters parameters = Declared();
  EXPECT_DEATH(parameters.Declare("a", {1}, Initializer::Zeros(), Role::kWeight), "twice");
}

TEST(Parameters, SinusoidsShiftByARotation) {
  Context ctx = Context::Cpu();
  Parameters parameters;
  parameters.Declare("positions", {50, 6}, Initializer::Sinusoid(0.5f), Role::kWeight);
  parameters.Allocate(ctx, DType::kFloat64);
  parameters.Initialize(ctx, /*seed=*/1);
  const View<double> x = Parameters::Window(parameters.values(), parameters.list()[0]);
  EXPECT_EQ(x[0], 0);
  EXPECT_NEAR(x[1], 0.5 * std::sqrt(2.0), 1e-12);
  for (int64_t p = 0; p < 50; ++p) {  // every pair of columns lies on a circle of mean square 1/4
    for (int64_t c = 0; c < 6; c += 2) {
      EXPECT_NEAR(x[p * 6 + c] * x[p * 6 + c] + x[p * 6 + c + 1] * x[p * 6 + c + 1], 0.5, 1e-12);
    }
  }
  EXPECT_NEAR(x[7 * 6] / x[7 * 6 + 1], std::tan(7.0), 1e-9);
}

}  // namespace

}  // namespace treeformer
