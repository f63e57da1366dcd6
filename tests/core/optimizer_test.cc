#include "core/training/optimizer.h"

#include "tests/testing.h"

namespace treeformer {

namespace {

// Loshchilov and Hutter 2019, algorithm 2, for one number; t counts its own updates.
struct ScalarAdamW {
  double w = 0, m = 0, v = 0;
  int t = 0;

  void Step(double g, const OptimizerConfig& config, double decay) {
    ++t;
    m = config.beta1 * m + (1 - config.beta1) * g;
    v = config.beta2 * v + (1 - config.beta2) * g * g;
    const double step = m / (1 - std::pow(config.beta1, t)) /
                        (std::sqrt(v / (1 - std::pow(config.beta2, t))) + config.epsilon);
    w -= config.learning_rate * (step + decay * w);
  }
};

Parameters Declared() {
  Parameters parameters;
  parameters.Declare("dense.weight", {5}, Initializer::Zeros(), Role::kWeight);
  parameters.Declare("tree.weight", {2, 3, 5}, Initializer::Zeros(), Role::kTreeWeight, /*layer=*/0,
                     {1, 3});
  parameters.Declare("tree.bias", {2, 3}, Initializer::Zeros(), Role::kTreeBias, /*layer=*/0,
                     {1, 3});
  parameters.Declare("late.weight", {7}, Initializer::Zeros(), Role::kWeight);
  parameters.Declare("dense.bias", {3}, Initializer::Zeros(), Role::kBias);
  return parameters;
}

// Updates of the run before the second level of the tree and before late.weight.
constexpr int64_t kLevelBorn = 30, kWeightBorn = 15;

int64_t BornOf(const Parameter& parameter, int64_t i) {
  if (parameter.name == "late.weight") return kWeightBorn;
  const bool deep = !parameter.levels.empty() && i / (parameter.shape.count() / 6) % 3 >= 1;
  return deep ? kLevelBorn : 0;
}

// Before its birth a parameter is 0 and has no gradient, so that its updates change nothing.
TEST(Optimizer, MovesAParameterBornLateAsARunThatBeginsThere) {
  Context ctx = Context::Cpu();
  const OptimizerConfig config{.learning_rate = 0.125, .weight_decay = 0.25, .clip_norm = 0};
  const Optimizer optimizer(config);
  Parameters parameters = Declared();
  parameters.Allocate(ctx, DType::kFloat64);
  std::vector<ScalarAdamW> expected(parameters.count());
  const auto noise = testing_util::Random<double>(40 * parameters.count(), 1);
  const View<double> gradients = parameters.gradients();
  for (int64_t t = 1; t <= 40; ++t) {
    for (Parameters::Id tree : {1, 2}) parameters.SetBorn(tree, {0, std::min(t - 1, kLevelBorn)});
    parameters.SetBorn(3, {std::min(t - 1, kWeightBorn)});
    Zero(ctx, gradients);
    for (const Parameter& parameter : parameters.list()) {
      for (int64_t i = 0; i < parameter.range.count(); ++i) {
        if (t <= BornOf(parameter, i)) continue;
        const int64_t at = parameter.range.begin + i;
        gradients[at] = noise[(t - 1) * parameters.count() + at];
        expected[at].Step(gradients[at], config, Decays(parameter.role) ? config.weight_decay : 0);
      }
    }
    double squared_norm = 1;
    optimizer.Step(ctx, parameters, {0, parameters.count()}, {&squared_norm, {1}}, /*targets=*/1,
                   config.learning_rate, t);
  }
  const View<double> values = parameters.values();
  for (int64_t i = 0; i < parameters.count(); ++i) EXPECT_NEAR(values[i], expected[i].w, 1e-12);
}

// Shards whose ends lie between parameters update each element once.
TEST(Optimizer, UpdatesARangeAsThePartOfTheWhole) {
  Context ctx = Context::Cpu();
  Parameters whole = Declared(), parts = Declared();
  for (Parameters* parameters : {&whole, &parts}) {
    parameters->Allocate(ctx, DType::kFloat64);
    parameters->SetBorn(1, {0, 3});
    for (int64_t i = 0; i < parameters->count(); ++i) {
      parameters->gradients().as<double>()[i] = 1.0 + static_cast<double>(i);
    }
  }
  const Optimizer optimizer({.learning_rate = 0.125});
  double squared_norm = 1;
  const auto step = [&](Parameters& parameters, Range range) {
    optimizer.Step(ctx, parameters, range, {&squared_norm, {1}}, /*targets=*/1,
                   /*learning_rate=*/0.125, /*t=*/5);
  };
  step(whole, {0, whole.count()});
  const int64_t cut = parts.list()[2].range.begin;
  step(parts, {0, cut});
  step(parts, {cut, parts.count() - 8});
  const View<double> a = whole.values(), b = parts.values();
  for (int64_t i = 0; i < parts.count() - 8; ++i) EXPECT_EQ(a[i], b[i]) << i;
  EXPECT_NE(b[parts.count() - 9], 0);
  EXPECT_EQ(b[parts.count() - 8], 0);
}

}  // namespace

}  // namespace treeformer
