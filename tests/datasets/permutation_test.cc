#include "datasets/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace treeformer::datasets {
namespace {

std::vector<int64_t> Images(const Permutation& permutation, int64_t size) {
  std::vector<int64_t> images;
  for (int64_t i = 0; i < size; ++i) images.push_back(permutation(i));
  return images;
}

TEST(Permutation, HitsEveryNumberOnce) {
  for (const int64_t size : {1, 2, 3, 4, 5, 7, 16, 17, 100, 1023, 1024, 1025, 5000}) {
    std::vector<int64_t> images = Images(Permutation(size, 3, 1), size);
    std::sort(images.begin(), images.end());
    for (int64_t i = 0; i < size; ++i) EXPECT_EQ(images[i], i) << size;
  }
}

TEST(Permutation, IsAPureFunctionOfSeedAndEpoch) {
  const auto images = Images(Permutation(1000, 3, 1), 1000);
  EXPECT_EQ(images, Images(Permutation(1000, 3, 1), 1000));
  for (const auto& [seed, epoch] :
       {std::pair<uint64_t, int64_t>{4, 1}, {3, 2}, {3 + (1ull << 32), 1}, {3, 4'000'000'000}}) {
    const auto other = Images(Permutation(1000, seed, epoch), 1000);
    int same = 0;
    for (int i = 0; i < 1000; ++i) same += images[i] == other[i];
    EXPECT_LT(same, 10);  // Poisson of mean 1: ten or more once in 9 million
  }
}

TEST(Permutation, EveryPlaceIsEquallyLikely) {
  constexpr int kSize = 6, kEpochs = 30000;
  std::map<std::pair<int64_t, int64_t>, int> count;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation permutation(kSize, 9, epoch);
    for (int64_t i = 0; i < kSize; ++i) ++count[{i, permutation(i)}];
  }
  const double mean = double{kEpochs} / kSize;
  for (int64_t i = 0; i < kSize; ++i) {
    for (int64_t j = 0; j < kSize; ++j) {
      const int at = count[{i, j}];
      EXPECT_NEAR(at, mean, 5 * std::sqrt(mean * (1 - 1.0 / kSize))) << i << " -> " << j;
    }
  }
}

TEST(Permutation, WorksOnSizesThatNoMemoryWouldHold) {
  const int64_t size = (int64_t{1} << 61) + 12345;
  const Permutation permutation(size, 1, 0);
  for (int64_t i = 0; i < 1000; ++i) {
    const int64_t image = permutation(size - 1 - i);
    EXPECT_TRUE(0 <= image && image < size);
    EXPECT_NE(image, permutation(i));
  }
}

}  // namespace
}  // namespace treeformer::datasets
