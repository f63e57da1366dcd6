#include "core/layers/encoder_layer.h"

#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t kLength = 12;
const Shape kRows{2 * kLength, 16};

class EncoderLayerBench : public LayerBench<EncoderLayer> {
 public:
  EncoderLayerBench(const ModelConfig& config, const datasets::Batch& batch, DType dtype,
                    OutputRows output = OutputRows::kAll)
      : LayerBench(config, batch, dtype,
                   [output](const LayerBuilder& builder) {
                     return std::make_unique<EncoderLayer>(builder, /*layer=*/0, output);
                   }),
        output_rows{output == OutputRows::kAll ? kRows : Shape{shape.targets, 16}} {}

  template <typename T>
  std::vector<T> Forward(std::vector<T>& x, const MicroBatch& micro) {
    std::vector<T> y(output_rows.count());
    layer->Forward(ctx, On(y, output_rows), On(x, kRows), micro);
    return y;
  }

  const Shape output_rows;
};

AttentionConfig Causal(AttentionConfig config) {
  config.causal = true;
  return config;
}

AttentionConfig Folded(AttentionConfig config) {
  config.tree.fold_projections = true;
  return config;
}

const TreeShape kBinary = TreeShape::Binary(2);
const TreeShape kKary = TreeShape::Kary({3, 2});

// The routing is piecewise constant, so that without a gradient of its own the derivative is exact
// wherever no row changes its leaf.
std::vector<AttentionConfig> WithFixedRouting() {
  using enum TreeGradient;
  return {FullAttention(),
          Causal(FullAttention()),
          TreeAttention(&kTfAttention, kBinary, kNone),
          TreeAttention(&kTfAttention, kKary, kNone),
          Causal(TreeAttention(&kTfAttention, kBinary, kNone)),
          TreeAttention(&kTcAttention, kBinary, kNone),
          TreeAttention(&kTcAttention, kKary, kNone),
          Folded(TreeAttention(&kTcAttention, kBinary, kNone))};
}

class EncoderLayerTest : public testing::TestWithParam<std::tuple<int, bool, OutputRows>> {};

TEST_P(EncoderLayerTest, BackwardIsTheDerivativeOfForward) {
  const auto [index, pre_norm, output] = GetParam();
  ModelConfig config = SmallConfig({WithFixedRouting()[index]});
  config.pre_norm = pre_norm;
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench bench(config, batch, DType::kFloat64, output);
  const Shape& output_rows = bench.output_rows;
  auto x = Random<double>(kRows.count(), 1), dy = Random<double>(output_rows.count(), 2);
  std::vector<double> dx(kRows.count(), 99);
  const auto loss = [&] { return Dot(bench.Forward(x, micro), dy); };
  loss();
  const bool all = output == OutputRows::kAll;
  if (all) dx = dy;  // dx may be dy
  bench.layer->BackwardInput(bench.ctx, On(dx, kRows), On(all ? dx : dy, output_rows), On(x, kRows),
                             micro);
  ExpectDerivative(loss, x, dx);
  ExpectParameterDerivatives(bench.parameters, loss);
}

INSTANTIATE_TEST_SUITE_P(AttentionAndNorm, EncoderLayerTest,
                         testing::Combine(testing::Range(0, 8), testing::Bool(),
                                          testing::Values(OutputRows::kAll, OutputRows::kTargets)));

TEST(EncoderLayer, TheTargetsAloneHaveTheRowsThatTheyHaveAmongAll) {
  ModelConfig config = SmallConfig({FullAttention()});
  config.dropout = config.attention_dropout = 0;
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench all(config, batch, DType::kFloat64);
  EncoderLayerBench targets(config, batch, DType::kFloat64, OutputRows::kTargets);
  auto x = Random<double>(kRows.count(), 1);
  const auto expected = all.Forward(x, micro), found = targets.Forward(x, micro);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i], expected[batch.target_position[i / 16] * 16 + i % 16]) << "at " << i;
  }
}

TEST(EncoderLayer, GradientsOfParametersAddUp) {
  const ModelConfig config =
      SmallConfig({TreeAttention(&kTfAttention, kBinary, TreeGradient::kFlip)});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench bench(config, batch, DType::kFloat64);
  auto x = Random<double>(kRows.count(), 1), dy = Random<double>(kRows.count(), 2);
  std::vector<double> dx(kRows.count());
  bench.Forward(x, micro);
  bench.layer->BackwardInput(bench.ctx, On(dx, kRows), On(dy, kRows), On(x, kRows), micro);
  const auto once = ReadAll<double>(bench.parameters.gradients().as<double>());
  bench.layer->BackwardInput(bench.ctx, On(dx, kRows), On(dy, kRows), On(x, kRows), micro);
  const auto twice = ReadAll<double>(bench.parameters.gradients().as<double>());
  for (size_t i = 0; i < once.size(); ++i) {
    EXPECT_NEAR(twice[i], 2 * once[i], 1e-12 * (1 + std::abs(once[i]))) << "at " << i;
  }
}

// Lemma 1 of the paper: with w = 0 and b > 0 every row goes to the right-most leaf.
TEST(EncoderLayer, TfWithEveryRowInOneLeafIsFullAttention) {
  const ModelConfig full = SmallConfig({FullAttention()});
  const ModelConfig tf = SmallConfig({TreeAttention(&kTfAttention, kBinary, TreeGradient::kFlip)});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, full.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench full_bench(full, batch, DType::kFloat32);
  EncoderLayerBench tf_bench(tf, batch, DType::kFloat32);
  const std::string tree = "bert.encoder.layer.0.attention.self.tree";
  SetValues(tf_bench.parameters, tree + ".weight", std::vector<double>(2 * 3 * 8, 0));
  SetValues(tf_bench.parameters, tree + ".bias", std::vector<double>(2 * 3, 1e-3));
  auto x = Random<float>(kRows.count(), 1);
  const auto y_full = full_bench.Forward(x, micro), y_tf = tf_bench.Forward(x, micro);
  // Layer norm divides by a deviation of about 1; sums of at most 24 terms of size 1.
  for (size_t i = 0; i < y_full.size(); ++i) EXPECT_NEAR(y_tf[i], y_full[i], SumTolerance(24, 1));
}

// Long enough that the fast path works in several tiles.
constexpr int64_t kTokens = 300, kChanged = 170;
const Shape kLongRows{kTokens, 16};

// Largest changes of the rows before kChanged, and of row kChanged, when token kChanged changes.
template <typename T>
std::pair<double, double> ChangesByALaterToken(const AttentionConfig& attention) {
  ModelConfig config = SmallConfig({Causal(attention)});
  config.max_positions = kTokens;
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, kTokens, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench bench(config, batch, DTypeOf<T>());
  auto x = Random<T>(kLongRows.count(), 1);
  std::vector<T> before(x.size()), after(x.size());
  bench.layer->Forward(bench.ctx, On(before, kLongRows), On(x, kLongRows), micro);
  for (int64_t c = 0; c < 16; ++c) x[kChanged * 16 + c] += 0.5f + c;
  bench.layer->Forward(bench.ctx, On(after, kLongRows), On(x, kLongRows), micro);
  const auto change = [&](int64_t begin, int64_t end) {
    double largest = 0;
    for (int64_t i = begin * 16; i < end * 16; ++i) {
      largest = std::max<double>(largest, std::abs(before[i] - after[i]));
    }
    return largest;
  };
  return {change(0, kChanged), change(kChanged, kChanged + 1)};
}

TEST(CausalLayer, ALaterTokenChangesNoEarlierOutput) {
  for (const AttentionConfig& attention :
       {FullAttention(), TreeAttention(&kTfAttention, kBinary, TreeGradient::kFlip)}) {
    const auto [earlier, own] = ChangesByALaterToken<double>(attention);
    EXPECT_EQ(earlier, 0);
    EXPECT_GT(own, 0.1);
    // A leaf that gains or loses a later key is a matrix product of another shape, so that the fast
    // path may round earlier rows otherwise: sums of at most kTokens terms of size 1.
    const auto [earlier_float, own_float] = ChangesByALaterToken<float>(attention);
    EXPECT_LE(earlier_float, SumTolerance(kTokens, 1));
    EXPECT_GT(own_float, 0.1);
  }
}

class PackedTest : public testing::TestWithParam<int> {};

TEST_P(PackedTest, ADocumentChangesNoOther) {
  const ModelConfig config = SmallConfig({WithFixedRouting()[GetParam()]});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  EncoderLayerBench bench(config, batch, DType::kFloat64);
  auto x = Random<double>(kRows.count(), 1);
  const auto before = bench.Forward(x, micro);
  for (int64_t i = 0; i < kLength; ++i) {
    if (batch.document[i] != 0) continue;  // the first document of the first sequence
    for (int64_t c = 0; c < 16; ++c) x[i * 16 + c] = -x[i * 16 + c];
  }
  const auto after = bench.Forward(x, micro);
  for (int64_t row = 0; row < 2 * kLength; ++row) {
    const bool changed = row < kLength && batch.document[row] == 0;
    double difference = 0;
    for (int64_t c = 0; c < 16; ++c) {
      difference = std::max(difference, std::abs(before[row * 16 + c] - after[row * 16 + c]));
    }
    EXPECT_EQ(difference > 0, changed) << "row " << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, PackedTest, testing::Range(0, 8));

TEST(EncoderLayer, HasTheNamesOfHuggingFaceAndTheRolesOfItsParameters) {
  const ModelConfig config =
      SmallConfig({TreeAttention(&kTcAttention, kBinary, TreeGradient::kDense)});
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, kLength, config.vocabulary);
  EncoderLayerBench bench(config, batch, DType::kFloat32);
  struct Expected {
    std::string name;
    Shape shape;
    Role role;
  };
  const std::vector<Expected> expected = {
      {"attention.self.query.weight", {16, 16}, Role::kWeight},
      {"attention.self.query.bias", {16}, Role::kBias},
      {"attention.self.key.weight", {16, 16}, Role::kWeight},
      {"attention.self.key.bias", {16}, Role::kBias},
      {"attention.self.value.weight", {16, 16}, Role::kWeight},
      {"attention.self.value.bias", {16}, Role::kBias},
      {"attention.self.tree.weight", {2, 3, 8}, Role::kTreeWeight},
      {"attention.self.tree.bias", {2, 3}, Role::kTreeBias},
      {"attention.self.tree.alpha", {2, 3}, Role::kMixture},
      {"attention.output.dense.weight", {16, 16}, Role::kWeight},
      {"attention.output.dense.bias", {16}, Role::kBias},
      {"attention.output.LayerNorm.weight", {16}, Role::kNorm},
      {"attention.output.LayerNorm.bias", {16}, Role::kNorm},
      {"intermediate.dense.weight", {24, 16}, Role::kWeight},
      {"intermediate.dense.bias", {24}, Role::kBias},
      {"output.dense.weight", {16, 24}, Role::kWeight},
      {"output.dense.bias", {16}, Role::kBias},
      {"output.LayerNorm.weight", {16}, Role::kNorm},
      {"output.LayerNorm.bias", {16}, Role::kNorm}};
  ASSERT_EQ(bench.parameters.list().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const Parameter& parameter = bench.parameters.list()[i];
    EXPECT_EQ(parameter.name, "bert.encoder.layer.0." + expected[i].name);
    EXPECT_EQ(parameter.shape, expected[i].shape) << parameter.name;
    EXPECT_EQ(parameter.role, expected[i].role) << parameter.name;
    EXPECT_EQ(parameter.layer, 0) << parameter.name;
  }
}

}  // namespace

}  // namespace treeformer
