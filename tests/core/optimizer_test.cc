#include "core/training/optimizer.h"

#include "tests/testing.h"

namespace treeformer {

namespace {

const double kOneTarget = 1;

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
  OptimizerState state(ctx, parameters);
  std::vector<ScalarAdamW> expected(parameters.count());
  const auto noise = testing_util::Random<double>(40 * parameters.count(), 1);
  const View<double> gradients = parameters.gradients();
  for (int64_t t = 1; t <= 40; ++t) {
    for (Parameters::Id tree : {1, 2}) state.SetBorn(tree, {0, std::min(t - 1, kLevelBorn)});
    state.SetBorn(3, {std::min(t - 1, kWeightBorn)});
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
    optimizer.Step(ctx, parameters, state, {&squared_norm, {1}}, {&kOneTarget, {1}},
                   config.learning_rate, t);
  }
  const View<double> values = parameters.values();
  for (int64_t i = 0; i < parameters.count(); ++i) EXPECT_NEAR(values[i], expected[i].w, 1e-12);
}

// Parameters with gradients, and what a state of some range makes of them.
class OneStep {
 public:
  explicit OneStep(DType dtype) : parameters(Declared()) {
    parameters.Allocate(ctx, dtype);
    parameters.Initialize(ctx, /*seed=*/1);
    const auto noise = testing_util::Random<double>(2 * parameters.count(), 2);
    for (const Parameter& parameter : parameters.list()) {
      for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) {
        Set(parameters.values(), i, noise[i]);
        Set(parameters.gradients(), i, noise[parameters.count() + i]);
      }
    }
  }
  // Updates t = 4 and 5 of a state whose second parameter got its deeper level after three.
  OptimizerState Step(const Optimizer& optimizer, Range range) {
    OptimizerState state(ctx, parameters, range);
    state.SetBorn(1, {0, 3});
    double squared_norm = 1;
    for (int64_t t : {4, 5}) {
      optimizer.Step(ctx, parameters, state, {&squared_norm, {1}}, {&kOneTarget, {1}},
                     /*learning_rate=*/0.125, t);
      optimizer.CountUpdate(parameters, state);
    }
    return state;
  }
  static void Set(Out buffer, int64_t i, double value) {
    if (buffer.dtype() == DType::kFloat64) {
      buffer.as<double>()[i] = value;
    } else {
      buffer.as<float>()[i] = static_cast<float>(value);
    }
  }

  Context ctx = Context::Cpu();
  Parameters parameters;
};

bool SameBits(Out a, Out b) {
  if (a.bytes() != b.bytes()) return false;
  return a.bytes() == 0 || memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// Wherever the cut is: between parameters, in one, and inside a tree whose levels have births of
// their own.
TEST(Optimizer, StepsShardsAsThePartsOfTheWhole) {
  const Optimizer optimizer({.learning_rate = 0.125, .clip_norm = 0});
  for (const DType dtype : {DType::kFloat64, DType::kFloat32, DType::kBFloat16}) {
    OneStep whole(dtype);
    const int64_t count = whole.parameters.count();
    const OptimizerState state = whole.Step(optimizer, {0, count});
    for (int64_t cut = 0; cut <= count; ++cut) {
      OneStep parts(dtype);
      const OptimizerState shards[] = {parts.Step(optimizer, {0, cut}),
                                       parts.Step(optimizer, {cut, count})};
      EXPECT_TRUE(SameBits(parts.parameters.values(), whole.parameters.values())) << cut;
      if (dtype == DType::kBFloat16) {
        EXPECT_TRUE(SameBits(parts.parameters.rounded_values(), whole.parameters.rounded_values()));
      }
      for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
        for (const OptimizerState& shard : shards) {
          const Range range = shard.range();
          EXPECT_EQ(shard.moments(moment).count(), range.count());
          EXPECT_TRUE(
              SameBits(shard.moments(moment), state.moments(moment).Rows(range.begin, range.end)))
              << cut;
        }
      }
    }
  }
}

TEST(Optimizer, LeavesWhatIsOutsideOfItsShard) {
  OneStep before(DType::kFloat64), shard(DType::kFloat64);
  shard.Step(Optimizer({}), {16, 40});
  const View<double> a = before.parameters.values(), b = shard.parameters.values();
  for (const Parameter& parameter : shard.parameters.list()) {
    for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) {
      EXPECT_EQ(a[i] != b[i], 16 <= i && i < 40) << parameter.name << " " << i;
    }
  }
}

TEST(Optimizer, KeepsAFrozenGroupAndItsCountOfUpdatesAsTheyAre) {
  std::vector<ParameterGroup> groups = GroupsByRole();
  groups.insert(groups.begin(),
                {.holds = [](const Parameter& p) { return IsOfTree(p.role); }, .frozen = true});
  OneStep before(DType::kFloat64), frozen(DType::kFloat64), free(DType::kFloat64);
  const Range all{0, before.parameters.count()};
  const OptimizerState state = frozen.Step(Optimizer({}, groups), all);
  free.Step(Optimizer({}), all);
  const View<double> m = state.moments(OptimizerState::kFirst);
  const View<double> v = state.moments(OptimizerState::kSecond);
  for (Parameters::Id id = 0; id < std::ssize(before.parameters.list()); ++id) {
    const Parameter& parameter = before.parameters.list()[id];
    const bool tree = IsOfTree(parameter.role);
    for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) {
      const auto value = [i](const OneStep& step) {
        return step.parameters.values().as<double>()[i];
      };
      EXPECT_EQ(value(frozen), value(tree ? before : free)) << parameter.name;
      EXPECT_EQ(m[i] == 0 && v[i] == 0, tree) << parameter.name;
    }
    // Two updates of the run that were none of its own.
    const std::vector<int64_t> born =
        id == 1 ? std::vector<int64_t>{0, 3} : std::vector<int64_t>(state.born(id).size(), 0);
    for (size_t level = 0; level < born.size(); ++level) {
      EXPECT_EQ(state.born(id)[level], born[level] + (tree ? 2 : 0)) << parameter.name;
    }
  }
}

TEST(Optimizer, MultipliesTheRateOfAGroupByItsFactor) {
  std::vector<ParameterGroup> groups = GroupsByRole();
  groups.insert(groups.begin(), {.holds = [](const Parameter& p) { return p.layer == 0; },
                                 .rate_factor = 0.25,
                                 .decay = false});
  OneStep before(DType::kFloat64), slow(DType::kFloat64), plain(DType::kFloat64);
  const Range all{0, before.parameters.count()};
  const OptimizerConfig config{.weight_decay = 0};
  const OptimizerState state = slow.Step(Optimizer(config, groups), all);
  const OptimizerState expected = plain.Step(Optimizer(config), all);
  EXPECT_TRUE(
      SameBits(state.moments(OptimizerState::kSecond), expected.moments(OptimizerState::kSecond)));
  for (const Parameter& parameter : before.parameters.list()) {
    for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) {
      const auto moved = [&](const OneStep& step) {
        return step.parameters.values().as<double>()[i] -
               before.parameters.values().as<double>()[i];
      };
      const double factor = parameter.layer == 0 ? 0.25 : 1;
      EXPECT_NEAR(moved(slow), factor * moved(plain), 1e-15) << parameter.name;
    }
  }
}

TEST(Optimizer, DecaysTheGroupsThatSaySo) {
  OneStep with(DType::kFloat64), without(DType::kFloat64);
  const Range all{0, with.parameters.count()};
  with.Step(Optimizer({.weight_decay = 0.5}), all);
  without.Step(Optimizer({.weight_decay = 0}), all);
  const View<double> a = with.parameters.values(), b = without.parameters.values();
  for (const Parameter& parameter : with.parameters.list()) {
    const int64_t first = parameter.range.begin;
    EXPECT_EQ(a[first] != b[first], Decays(parameter.role)) << parameter.name;
  }
}

TEST(OptimizerDeathTest, AParameterInNoGroupDies) {
  OneStep step(DType::kFloat64);
  const std::vector<ParameterGroup> none{{.holds = [](const Parameter&) { return false; }}};
  EXPECT_DEATH(step.Step(Optimizer({}, none), {0, step.parameters.count()}),
               "dense.weight is in no group");
}

}  // namespace

}  // namespace treeformer
