#include "launcher/training/training_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace treeformer {

namespace {

TEST(FormatShares, HasTwoDigitsHoweverSmall) {
  EXPECT_EQ(FormatShares({1, 0.996, 0.21, 0.1, 0.0951, 0.0156, 0.00099, 0.0000412, 0}),
            "1 1 .21 .10 .095 .016 .00099 .000041 0");
  EXPECT_EQ(FormatShares({std::nan("")}), "-");
}

TEST(FormatTrees, TellsQueriesWithoutKeysWhereThereAreTrees) {
  const double none = std::nan("");
  EXPECT_EQ(FormatTrees({{1, 1}, {0, 0}, {1, 1}}), "density 1 1");
  EXPECT_EQ(FormatTrees({{1, 0.136}, {0, 0.24}, {1, 0.2}}), "density 1 .14  without keys 0 .24");
  EXPECT_EQ(FormatTrees({{1, none}, {0, 0.5}, {1, 0.034}}),
            "density 1 TC(.034)  without keys 0 .50");
  EXPECT_EQ(FormatTrees({{none}, {none}, {none}}), "density -  without keys -");  // saw nothing
}

}  // namespace

}  // namespace treeformer
