#include "core/training/births.h"

#include <nlohmann/json.hpp>

#include "tests/datasets/temporary_folder.h"
#include "tests/testing.h"

namespace treeformer {

namespace {

using nlohmann::json;
using Births = std::vector<int64_t>;

Parameters Tree() {
  Parameters parameters;
  parameters.Declare("dense.weight", {2, 3}, Initializer::Zeros(), Role::kWeight);
  parameters.Declare("tree.bias", {2, 7}, Initializer::Zeros(), Role::kTreeBias, /*layer=*/0,
                     {1, 3, 7});
  return parameters;
}

TEST(Births, ComeBackFromACheckpointAsTheyWere) {
  const Parameters parameters = Tree();
  OptimizerState state(parameters, {0, parameters.count()});
  state.SetBorn(1, {0, 40, 90});
  const json births = BirthsOf(parameters, state);
  EXPECT_EQ(births, (json{{"tree.bias", {0, 40, 90}}}));
  OptimizerState restored(parameters, {0, parameters.count()});
  RestoreBirths(births, /*updates=*/90, parameters, restored);
  EXPECT_EQ(restored.born(1), (Births{0, 40, 90}));
  EXPECT_EQ(restored.born(0), (Births{0}));
}

TEST(Births, OfACheckpointWithoutThemAreAllFromTheBeginning) {
  const Parameters parameters = Tree();
  OptimizerState restored(parameters, {0, parameters.count()});
  RestoreBirths(json::object(), /*updates=*/90, parameters, restored);
  EXPECT_EQ(restored.born(1), (Births{0, 0, 0}));
}

TEST(Births, ThatCannotBeAreRefused) {
  for (const json& births : {json{{"tree.bias", {0, 40}}}, json{{"tree.bias", {0, -1, 3}}},
                             json{{"tree.bias", {0, 1, 91}}}, json{{"tree.bias", {0, 1, "2"}}},
                             json{{"tree.bias", 3}}}) {
    const Parameters parameters = Tree();
    OptimizerState restored(parameters, {0, parameters.count()});
    EXPECT_REFUSED(RestoreBirths(births, /*updates=*/90, parameters, restored),
                   "the births of tree.bias are");
  }
}

}  // namespace

}  // namespace treeformer
