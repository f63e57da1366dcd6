#pragma once

// Rows to route, for the tests of kernels, and the reference's result.

#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/route_case.h"

namespace treeformer::route_case {

using namespace dense_testing;
using namespace emulated_testing;

using tree_testing::RouteCase;
using tree_testing::RouteResult;

inline RouteResult<double> Expected(const RouteCase& c) {
  Context ctx = Context::Cpu();
  return tree_testing::RouteRows<double>(ctx, c);
}

inline void ExpectSame(const RouteResult<float>& actual, const RouteResult<double>& expected,
                       int height) {
  EXPECT_EQ(actual.leaf, expected.leaf);
  EXPECT_EQ(actual.alternative, expected.alternative);
  EXPECT_EQ(actual.own_plane, expected.own_plane);
  EXPECT_EQ(actual.other_plane, expected.other_plane);
  EXPECT_EQ(Wide(actual.margin), expected.margin);
  for (size_t row = 0; row < expected.strength.size(); ++row) {
    if (std::isnan(expected.strength[row])) {
      EXPECT_TRUE(std::isnan(actual.strength[row])) << row;
    } else {  // h quotients and sums of positive numbers
      EXPECT_NEAR(actual.strength[row], expected.strength[row],
                  2 * height * kRounding * expected.strength[row])
          << row;
    }
  }
}

// Every kernel; one row, one past a warp, one past a block; columns past a tile and not a multiple
// of eight; one pass of products and two; levels below them; a top level too large for them.
inline std::vector<RouteCase> RouteCases() {
  std::vector<RouteCase> cases;
  cases.emplace_back(TreeShape::Binary(0), 1, 9, 2, 2, 4);
  cases.emplace_back(TreeShape::Binary(1), 2, 1, 1, 1, 1);
  cases.emplace_back(TreeShape::Binary(3), 2, 67, 3, 3, 5);
  cases.emplace_back(TreeShape::Binary(4), 1, 129, 2, 2, 40);
  cases.emplace_back(TreeShape::Binary(5), 1, 33, 2, 1, 100);
  cases.emplace_back(TreeShape::Binary(6), 2, 33, 1, 1, 64);
  cases.emplace_back(TreeShape::Binary(7), 1, 31, 2, 2, 96);
  cases.emplace_back(TreeShape::Binary(9), 1, 35, 2, 2, 72);
  cases.emplace_back(TreeShape::Kary({3}), 2, 40, 2, 2, 2);
  cases.emplace_back(TreeShape::Kary({4, 3, 2}), 1, 65, 2, 2, 33);
  cases.emplace_back(TreeShape::Kary({100, 10}), 1, 33, 2, 2, 16);
  cases.emplace_back(TreeShape::Kary({131, 2}), 1, 5, 1, 1, 24);
  return cases;
}

}  // namespace treeformer::route_case
