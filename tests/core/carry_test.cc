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

Parameters Model(int64_t planes, int64_t alphas, bool tree, uint64_t seed) {
  Parameters parameters = Declared(planes, alphas, tree);
  Context ctx = Context::Cpu();
  parameters.Allocate(ctx, DType::kFloat32);
  parameters.Initialize(ctx, seed);
  const View<float> m = parameters.first_moments(), v = parameters.second_moments();
  for (const Parameter& parameter : parameters.list()) {
    for (int64_t i = parameter.range.begin; i < parameter.range.end; ++i) m[i] = v[i] = 7;
  }
  return parameters;
}

View<float> Values(const Parameters& p, const std::string& name) {
  return Parameters::Window(p.values(), *p.Find(name));
}

TEST(CarryParameters, GrowsATreeAndKeepsItsOldPlanesBitForBit) {
  Context ctx = Context::Cpu();
  const Parameters old = Model(/*planes=*/3, /*alphas=*/3, true, /*seed=*/1);
  Parameters grown = Model(/*planes=*/7, /*alphas=*/4, true, /*seed=*/2);
  Zero(ctx, grown.first_moments());
  Zero(ctx, grown.second_moments());
  const Parameters fresh = Model(7, 4, true, 2);
  CarryParameters(ctx, grown, old, {.updates = 100});

  const View<float> w = Values(grown, "tree.weight"), w_old = Values(old, "tree.weight"),
                    w_fresh = Values(fresh, "tree.weight");
  const View<float> m = Parameters::Window(grown.first_moments(), *grown.Find("tree.weight"));
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
  EXPECT_EQ(grown.Find("query.weight")->born, (std::vector<int64_t>{0}));
  EXPECT_EQ(grown.Find("tree.weight")->born, (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(grown.Find("tree.bias")->born, (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(grown.Find("tree.alpha")->born, (std::vector<int64_t>{0, 0, 0, 100}));
}

// Algorithm 1 to the letter: the tree of height h is made from that of height h - 1, of which the
// regrown tree of three levels keeps two, though the old one had all three.
TEST(CarryParameters, ATreeThatRegrowsDrawsItsDeepestLevelAnew) {
  Context ctx = Context::Cpu();
  const Parameters old = Model(/*planes=*/7, /*alphas=*/4, true, /*seed=*/1);
  Parameters regrown = Model(7, 4, true, /*seed=*/2);
  Zero(ctx, regrown.first_moments());
  const Parameters fresh = Model(7, 4, true, 2);
  CarryParameters(ctx, regrown, old, {.updates = 100, .regrow = true});
  const View<float> w = Values(regrown, "tree.weight");
  const View<float> m = Parameters::Window(regrown.first_moments(), *regrown.Find("tree.weight"));
  for (int64_t i = 0; i < w.count(); ++i) {
    const bool kept = i / 3 % 7 < 3;
    EXPECT_EQ(w[i], Values(kept ? old : fresh, "tree.weight")[i]) << i;
    EXPECT_EQ(m[i], kept ? 7 : 0) << i;
  }
  EXPECT_EQ(Values(regrown, "tree.alpha")[2], 0.25f);
  EXPECT_EQ(Values(regrown, "tree.alpha")[3], 0);
  EXPECT_EQ(regrown.Find("tree.weight")->born, (std::vector<int64_t>{0, 0, 100}));
  EXPECT_EQ(Values(regrown, "query.weight")[5], Values(old, "query.weight")[5]);
}

TEST(CarryParameters, WithoutMemoryOfItsOwnGivesTheSameBitsAndFreesTheSource) {
  Context ctx = Context::Cpu();
  Parameters old = Model(/*planes=*/3, /*alphas=*/3, true, /*seed=*/1);
  Parameters expected = Declared(7, 4, true);
  expected.Allocate(ctx, DType::kFloat32);
  expected.Initialize(ctx, /*seed=*/2, /*draw=*/1);
  CarryParameters(ctx, expected, old, {.updates = 100});
  Parameters moved = Declared(7, 4, true);
  CarryParameters(ctx, moved, std::move(old), {.updates = 100}, /*seed=*/2, /*draw=*/1);
  for (const auto kind : {Parameters::kValues, Parameters::kGradients, Parameters::kFirstMoments,
                          Parameters::kSecondMoments}) {
    const View<float> a = moved.buffer(kind), b = expected.buffer(kind);
    for (int64_t i = 0; i < b.count(); ++i) EXPECT_EQ(a[i], b[i]) << i;
    EXPECT_FALSE(old.buffer(kind));
  }
  EXPECT_EQ(moved.Find("tree.bias")->born, expected.Find("tree.bias")->born);
}

TEST(CarryParameters, ANewTreeStaysRandomAndTheProjectionsStay) {
  Context ctx = Context::Cpu();
  const Parameters full = Model(0, 0, /*tree=*/false, 1);
  Parameters with_tree = Model(1, 2, true, 2);
  const Parameters fresh = Model(1, 2, true, 2);
  CarryParameters(ctx, with_tree, full, {.updates = 50});
  for (int64_t i = 0; i < 24; ++i) {
    EXPECT_EQ(Values(with_tree, "query.weight")[i], Values(full, "query.weight")[i]);
  }
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(Values(with_tree, "tree.weight")[i], Values(fresh, "tree.weight")[i]);
  }
  EXPECT_EQ(Values(with_tree, "tree.alpha")[1], 0.5f);
  EXPECT_EQ(with_tree.Find("tree.weight")->born, (std::vector<int64_t>{50}));
  EXPECT_EQ(with_tree.Find("query.weight")->born, (std::vector<int64_t>{0}));
}

TEST(CarryParametersDeathTest, WhatDoesNotFitDies) {
  Context ctx = Context::Cpu();
  Parameters to, from;
  to.Declare("dense.weight", {2, 3}, Initializer::Zeros(), Role::kWeight);
  from.Declare("dense.weight", {2, 4}, Initializer::Zeros(), Role::kWeight);
  to.Allocate(ctx, DType::kFloat32);
  from.Allocate(ctx, DType::kFloat32);
  EXPECT_DEATH(CarryParameters(ctx, to, from, {}), "dense.weight: cannot carry");
}

}  // namespace

}  // namespace treeformer
