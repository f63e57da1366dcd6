#include "launcher/training_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(FormatShares, HasTwoDigitsHoweverSmall) {
  EXPECT_EQ(FormatShares({1, 0.996, 0.21, 0.1, 0.0951, 0.0156, 0.00099, 0.0000412, 0}),
            "1 1 .21 .10 .095 .016 .00099 .000041 0");
  EXPECT_EQ(FormatShares({std::nan("")}), "TC");
}

TEST(FormatDensity, TellsQueriesWithoutKeysWhereThereAreTrees) {
  EXPECT_EQ(FormatDensity({1, 1}, {0, 0}), "density 1 1");
  EXPECT_EQ(FormatDensity({1, 0.136}, {0, 0.24}), "density 1 .14  without keys 0 .24");
  EXPECT_EQ(FormatDensity({std::nan("")}, {0.5}), "density TC  without keys .50");
}

}  // namespace
