#include "core/training/carry.h"

#include "tests/testing.h"

namespace treeformer {

namespace {

// H = 2 heads, e = 3.
Parameters Declared(int64_t planes, int64_t alphas, bool tree) {
  Parameters parameters;
  parameters.Declare("query.weight", {4, 6}, Initializer::Normal(1), Role::kWeight);
  if (tree) {
    std::vector<int64_t> levels, entries;
    for (int64_t end = 1; end <= planes; end = 2 * end + 1) levels.push_back(end);
    for (int64_t end = 1; end <= alphas; ++end) entries.push_back(end);
    parameters.Declare("tree.weight", {2, planes, 3}, Initializer::Normal(1), Role::kTreeWeight,
                       /*layer=*/0, levels);
    parameters.Declare("tree.bias", {2, planes}, Initializer::Zeros(), Role::kTreeBias, /*layer=*/0,
                       levels);
    parameters.Declare("tree.alpha", {2, alphas}, Initializer::Constant(1.0f / alphas),
                       Role::kMixture, /*layer=*/0, entries);
  }
  return parameters;
}

// With moments of 7, or `moment`.
struct Trained {
  Parameters parameters;
  OptimizerState state;

  const std::vector<int64_t>& Born(const std::string& name) const {
    const Parameter* parameter = parameters.Find(name);
    return state.born(static_cast<Parameters::Id>(parameter - parameters.list().data()));
  }
  View<float> FirstMoments(const std::string& name) const {
    return Parameters::Window(state.moments(OptimizerState::kFirst), *parameters.Find(name));
  }
};

Trained Model(int64_t planes, int64_t alphas, bool tree, uint64_t seed, float moment = 7) {
  Context ctx = Context::Cpu();
  Trained model{Declared(planes, alphas, tree), {}};
  model.parameters.Allocate(ctx, DType::kFloat32);
  model.parameters.Initialize(ctx, seed);
  model.state = OptimizerState(ctx, model.parameters);
  const View<float> m = model.state.moments(OptimizerState::kFirst);
  const View<float> v = model.state.moments(OptimizerState::kSecond);
  for (const Parameter& parameter : model.parameters.list()) {
    for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) m[i] = v[i] = moment;
  }
  return model;
}

void Carry(Trained& to, const Trained& from, const CarryRules& rules) {
  Context ctx = Context::Cpu();
  CarryParameters(ctx, to.parameters, to.state, from.parameters, from.state, rules);
}

View<float> Values(const Trained& model, const std::string& name) {
  return Parameters::Window(model.parameters.values(), *model.parameters.Find(name));
}

TEST(CarryParameters, GrowsATreeAndKeepsItsOldPlanesBitForBit) {
  const Trained old = Model(/*planes=*/3, /*alphas=*/3, true, /*seed=*/1);
  Trained grown = Model(/*planes=*/7, /*alphas=*/4, true, /*seed=*/2, /*moment=*/0);
  const Trained fresh = Model(7, 4, true, 2);
  Carry(grown, old, {.updates = 100});

  const View<float> w = Values(grown, "tree.weight"), w_old = Values(old, "tree.weight"),
                    w_fresh = Values(fresh, "tree.weight");
  const View<float> m = grown.FirstMoments("tree.weight");
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t plane = 0; plane < 7; ++plane) {
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t i = (h * 7 + plane) * 3 + c;
        EXPECT_EQ(w[i], plane < 3 ? w_old[(h * 3 + plane) * 3 + c] : w_fresh[i]);
        EXPECT_EQ(m[i], plane < 3 ? 7 : 0);
      }
    }
  }
  const View<float> alpha = Values(grown, "tree.alpha");
  EXPECT_EQ(alpha[2], 1.0f / 3);
  EXPECT_EQ(alpha[3], 0);  // growing changes nothing at first
  EXPECT_EQ(alpha[7], 0);
  // Only what is new begins to count its updates.
  EXPECT_EQ(grown.Born("query.weight"), (std::vector<int64_t>{0}));
  EXPECT_EQ(grown.Born("tree.weight"), (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(grown.Born("tree.bias"), (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(grown.Born("tree.alpha"), (std::vector<int64_t>{0, 0, 0, 100}));
}

// Algorithm 1 to the letter: the tree of height h is made from that of height h - 1, of which the
// regrown tree of three levels keeps two, though the old one had all three.
TEST(CarryParameters, ATreeThatRegrowsDrawsItsDeepestLevelAnew) {
  const Trained old = Model(/*planes=*/7, /*alphas=*/4, true, /*seed=*/1);
  Trained regrown = Model(7, 4, true, /*seed=*/2, /*moment=*/0);
  const Trained fresh = Model(7, 4, true, 2);
  Carry(regrown, old, {.updates = 100, .regrow = true});
  const View<float> w = Values(regrown, "tree.weight");
  const View<float> m = regrown.FirstMoments("tree.weight");
  for (int64_t i = 0; i < w.count(); ++i) {
    const bool kept = i / 3 % 7 < 3;
    EXPECT_EQ(w[i], Values(kept ? old : fresh, "tree.weight")[i]) << i;
    EXPECT_EQ(m[i], kept ? 7 : 0) << i;
  }
  EXPECT_EQ(Values(regrown, "tree.alpha")[2], 0.25f);
  EXPECT_EQ(Values(regrown, "tree.alpha")[3], 0);
  EXPECT_EQ(regrown.Born("tree.weight"), (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(Values(regrown, "query.weight")[5], Values(old, "query.weight")[5]);
}

TEST(CarryParameters, WithoutMemoryOfItsOwnGivesTheSameBitsAndFreesTheSource) {
  Context ctx = Context::Cpu();
  Trained old = Model(/*planes=*/3, /*alphas=*/3, true, /*seed=*/1);
  Trained expected{Declared(7, 4, true), {}};
  expected.parameters.Allocate(ctx, DType::kFloat32);
  expected.parameters.Initialize(ctx, /*seed=*/2, /*draw=*/1);
  expected.state = OptimizerState(ctx, expected.parameters);
  Carry(expected, old, {.updates = 100});
  Trained moved{Declared(7, 4, true), {}};
  moved.state = CarryParameters(ctx, moved.parameters, std::move(old.parameters),
                                std::move(old.state), {.updates = 100}, /*seed=*/2, /*draw=*/1);
  const auto expect_equal = [](View<float> a, View<float> b) {
    ASSERT_EQ(a.count(), b.count());
    for (int64_t i = 0; i < b.count(); ++i) EXPECT_EQ(a[i], b[i]) << i;
  };
  for (const auto kind : {Parameters::kValues, Parameters::kGradients}) {
    expect_equal(moved.parameters.buffer(kind), expected.parameters.buffer(kind));
    EXPECT_FALSE(old.parameters.buffer(kind));
  }
  for (const auto moment : {OptimizerState::kFirst, OptimizerState::kSecond}) {
    expect_equal(moved.state.moments(moment), expected.state.moments(moment));
    EXPECT_FALSE(old.state.moments(moment));
  }
  EXPECT_EQ(moved.Born("tree.bias"), expected.Born("tree.bias"));
}

TEST(CarryParameters, ANewTreeStaysRandomAndTheProjectionsStay) {
  const Trained full = Model(0, 0, /*tree=*/false, 1);
  Trained with_tree = Model(1, 2, true, 2);
  const Trained fresh = Model(1, 2, true, 2);
  Carry(with_tree, full, {.updates = 50});
  for (int64_t i = 0; i < 24; ++i) {
    EXPECT_EQ(Values(with_tree, "query.weight")[i], Values(full, "query.weight")[i]);
  }
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(Values(with_tree, "tree.weight")[i], Values(fresh, "tree.weight")[i]);
  }
  EXPECT_EQ(Values(with_tree, "tree.alpha")[1], 0.5f);
  EXPECT_EQ(with_tree.Born("tree.weight"), (std::vector<int64_t>{50}));
  EXPECT_EQ(with_tree.Born("query.weight"), (std::vector<int64_t>{0}));
}

TEST(CarryParametersDeathTest, WhatDoesNotFitDies) {
  Context ctx = Context::Cpu();
  Trained to, from;
  to.parameters.Declare("dense.weight", {2, 3}, Initializer::Zeros(), Role::kWeight);
  from.parameters.Declare("dense.weight", {2, 4}, Initializer::Zeros(), Role::kWeight);
  for (Trained* model : {&to, &from}) {
    model->parameters.Allocate(ctx, DType::kFloat32);
    model->state = OptimizerState(ctx, model->parameters);
  }
  EXPECT_DEATH(Carry(to, from, {}), "dense.weight: cannot carry");
  OptimizerState shard(ctx, to.parameters, {0, 3});
  EXPECT_DEATH(CarryParameters(ctx, to.parameters, shard, to.parameters, to.state, {}),
               "a shard of a state is not carried");
}

}  // namespace

}  // namespace treeformer
