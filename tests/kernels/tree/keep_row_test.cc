#include "kernels/tree/tf/keep_row.h"

#include "tests/testing.h"

namespace treeformer {

namespace {

TEST(KeepRow, ChoosesAsDropoutDoesForNeighboursAndScatteredPositions) {
  const uint64_t past_32_bits = (uint64_t{1} << 34) - 100;  // the block number carries over
  for (const uint64_t offset : {uint64_t{0}, uint64_t{3}, past_32_bits}) {
    for (const int64_t columns : {1, 2, 5, 31, 100, 255, 256}) {
      for (const int stride : {1, 3}) {
        const Dropout dropout{0.1f, {/*seed=*/0x123456789abcdef, /*step=*/4, /*site=*/9}, offset};
        std::vector<int32_t> position(columns);
        for (int64_t c = 0; c < columns; ++c) position[c] = static_cast<int32_t>(2 + stride * c);
        const uint64_t row_index = 77;
        std::vector<float> keep(columns, -1);
        cpu::KeepRow(keep.data(), dropout, row_index, position.data(), columns);
        for (int64_t c = 0; c < columns; ++c) {
          EXPECT_EQ(keep[c], dropout.Keeps(row_index + position[c]) ? dropout.scale() : 0);
        }
      }
    }
  }
}

}  // namespace

}  // namespace treeformer
