#include "core/attention/tree.h"

#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

class TreeBench : public LayerBench<Tree> {
 public:
  TreeBench(const ModelConfig& config, const datasets::Batch& batch, const TreeShape& shape)
      : LayerBench(config, batch, DType::kFloat64, [&](const LayerBuilder& builder) {
          return std::make_unique<Tree>(builder, "tree", shape, /*width=*/8);
        }) {}
};

ModelConfig Config() { return SmallConfig({FullAttention()}); }

TEST(Tree, NudgesTheBiasOfABinaryNodeAgainstItsImbalance) {
  const ModelConfig config = Config();
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, /*length=*/4, config.vocabulary);
  TreeBench bench(config, batch, TreeShape::Binary(2));
  // Head 0: leaves hold 3, 1, 0, 4 rows after two counts; head 1: all 8 rows in leaf 2.
  std::vector<int32_t> first{0, 0, 0, 1, 2, 2, 2, 2}, second{3, 3, 3, 3, 2, 2, 2, 2};
  bench.layer->CountRows(bench.ctx, Ids(first.data(), {1, 2, 4}));
  bench.layer->CountRows(bench.ctx, Ids(second.data(), {1, 2, 4}));
  bench.layer->NudgeBalance(bench.ctx, /*step=*/0.5f);
  // Planes: root, left, right.  (right - left) / rows: 0, -1/2, 1 and 1, no rows, -1.
  EXPECT_EQ(Values(bench.parameters, "tree.bias"),
            (std::vector<double>{0, 0.25, -0.5, -0.5, 0, 0.5}));
  const std::vector<double> before = Values(bench.parameters, "tree.bias");
  bench.layer->NudgeBalance(bench.ctx, /*step=*/0.5f);
  EXPECT_EQ(Values(bench.parameters, "tree.bias"), before) << "the counts were not forgotten";
}

TEST(Tree, NudgesTheBiasesOfAKaryNodeAgainstTheirShares) {
  const ModelConfig config = Config();
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, /*length=*/4, config.vocabulary);
  TreeBench bench(config, batch, TreeShape::Kary({4}));
  std::vector<int32_t> leaf{0, 0, 1, 0, -1, 3, 3, -1};  // two rows of head 1 are padding
  bench.layer->CountRows(bench.ctx, Ids(leaf.data(), {1, 2, 4}));
  bench.layer->NudgeBalance(bench.ctx, /*step=*/1);
  EXPECT_EQ(Values(bench.parameters, "tree.bias"),
            (std::vector<double>{-0.5, 0, 0.25, 0.25, 0.25, 0.25, 0.25, -0.75}));
}

TEST(Tree, OfHeightZeroHasNoParameters) {
  const ModelConfig config = Config();
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, /*length=*/4, config.vocabulary);
  TreeBench bench(config, batch, TreeShape::Binary(0));
  EXPECT_TRUE(bench.parameters.list().empty());
  EXPECT_EQ(bench.layer->weight().shape(), (Shape{2, 0, 8}));
}

}  // namespace

}  // namespace treeformer
