#include "core/model/model_stage.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;
using enum TreeGradient;

const TreeShape kBinary = TreeShape::Binary(2);

struct ModelBench {
  ModelBench(const ModelConfig& config, const datasets::Batch& batch, DType dtype,
             MatmulPrecision precision = MatmulPrecision::kFloat32)
      : ctx(Context::Cpu(precision)),
        batch(batch),
        model(ctx, config,
              {batch.sequences, batch.length, static_cast<int64_t>(batch.target_token.size())},
              dtype) {
    model.parameters().Initialize(ctx, /*seed=*/7);
  }

  double Loss(const StepInfo& step = {.seed = 11}) {
    model.Forward(ctx, batch, step);
    return model.ReadSums(ctx).Sum("loss");
  }

  Context ctx;
  datasets::Batch batch;
  ModelStage model;
};

class ModelTest : public testing::TestWithParam<bool> {};

// Two layers, FULL below TF, with dropout, padding, packed documents and the tied table.
TEST_P(ModelTest, BackwardIsTheDerivativeOfTheSummedLoss) {
  ModelConfig config = SmallConfig({FullAttention(), TreeAttention(&kTfAttention, kBinary, kNone)});
  config.pre_norm = GetParam();
  ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat64);
  bench.Loss();
  bench.model.Backward(bench.ctx, {});
  ExpectParameterDerivatives(bench.model.parameters(), [&] { return bench.Loss(); });
}

INSTANTIATE_TEST_SUITE_P(PostAndPreNorm, ModelTest, testing::Bool());

TEST(Model, InFloat32AgreesWithFloat64) {
  const ModelConfig config =
      SmallConfig({FullAttention(), TreeAttention(&kTfAttention, kBinary, kFlip),
                   TreeAttention(&kTcAttention, kBinary, kDense)});
  const datasets::Batch batch = SmallBatch(2, 12, config.vocabulary);
  ModelBench wide(config, batch, DType::kFloat64), narrow(config, batch, DType::kFloat32);
  const double loss = wide.Loss();
  // A logit is reached through 3 layers of 6 products and 5 more, each a sum of at most 24 terms.
  const double error = (3 * 6 + 5) * SumTolerance(24, 1);
  EXPECT_NEAR(narrow.Loss(), loss, 6 * error);  // 6 targets
  wide.model.Backward(wide.ctx, {});
  narrow.model.Backward(narrow.ctx, {});
  const auto expected = wide.model.parameters().gradients().as<double>();
  const auto got = narrow.model.parameters().gradients().as<float>();
  double largest = 0;
  for (int64_t i = 0; i < expected.count(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
  }
  // Back again through as many products; an element sums over 24 rows.
  for (int64_t i = 0; i < expected.count(); ++i) {
    EXPECT_NEAR(got[i], expected[i], 2 * error * largest) << "at " << i;
  }
}

// Trees are left out: a rounded product may send a row to another leaf.
TEST(Model, WithProductsOfBFloat16ItsLossAndGradientAreWithinTheirRounding) {
  ModelConfig config = SmallConfig({FullAttention(), FullAttention()});
  config.dropout = config.attention_dropout = 0;
  const datasets::Batch batch = SmallBatch(2, 12, config.vocabulary);
  ModelBench exact(config, batch, DType::kFloat32);
  ModelBench rounded(config, batch, DType::kFloat32, MatmulPrecision::kBFloat16);
  // A logit is reached through 2 layers of 8 products and 2 more, whose operands are both rounded.
  // Rows have norms of sqrt(16) after layer norm and weights a deviation of 0.2.
  const double logit = 4 * 0.2 * std::sqrt(16), error = std::sqrt(2 * 18) * 0x1p-8 * logit;
  const double loss = exact.Loss(), rounded_loss = rounded.Loss();
  EXPECT_NEAR(rounded_loss, loss, 6 * error);  // 6 targets
  EXPECT_NE(rounded_loss, loss);
  exact.model.Backward(exact.ctx, {});
  rounded.model.Backward(rounded.ctx, {});
  const auto expected = exact.model.parameters().gradients().as<float>();
  const auto got = rounded.model.parameters().gradients().as<float>();
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < expected.count(); ++i) {
    difference += std::pow(got[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  // Back again through as many products; softmax passes a logit's error on to its own slope.
  EXPECT_LE(std::sqrt(difference), 2 * error * std::sqrt(norm));
}

TEST(Model, EvaluationHasTheLossAndPredictionsOfTrainingWithoutDropout) {
  ModelConfig config = SmallConfig({TreeAttention(&kTfAttention, kBinary, kFlip)});
  ModelBench with_dropout(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
  config.dropout = config.attention_dropout = 0;
  ModelBench bench(config, with_dropout.batch, DType::kFloat32);
  const double training = bench.Loss();
  EXPECT_EQ(bench.Loss({.training = false}), training);
  EXPECT_EQ(with_dropout.Loss({.training = false}), training);
  EXPECT_EQ(bench.model.ReadPredictions(bench.ctx),
            with_dropout.model.ReadPredictions(with_dropout.ctx));
  EXPECT_NE(with_dropout.Loss(), training);
  EXPECT_EQ(bench.model.ReadSums(bench.ctx).targets, 6);
}

TEST(Model, CountsTheTargetsItPredicts) {
  const ModelConfig config = SmallConfig({FullAttention()});
  ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
  bench.Loss({.training = false});
  auto predictions = bench.model.ReadPredictions(bench.ctx);
  for (int m : {0, 1, 4}) bench.batch.target_token[m] = predictions[m];
  for (int m : {2, 5, 6}) bench.batch.target_token[m] = (predictions[m] + 1) % config.vocabulary;
  bench.Loss({.training = false});
  EXPECT_EQ(bench.model.ReadSums(bench.ctx).Sum("correct"), 3);
}

TEST(ModelDeathTest, BackwardAfterEvaluationDies) {
  const ModelConfig config = SmallConfig({FullAttention()});
  ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
  bench.Loss({.training = false});
  EXPECT_DEATH(bench.model.Backward(bench.ctx, {}), "evaluation");
}

TEST(Model, TheHookHearsOfEveryElementOnceFromTheBackToTheFront) {
  for (bool pre_norm : {false, true}) {
    ModelConfig config =
        SmallConfig({FullAttention(), TreeAttention(&kTcAttention, kBinary, kFlip)});
    config.pre_norm = pre_norm;
    ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
    bench.Loss();
    const Parameters& parameters = bench.model.parameters();
    std::vector<std::vector<float>> told;
    int64_t end = parameters.count();
    bench.model.Backward(bench.ctx, [&](Range range) {
      EXPECT_EQ(range.end, end);
      EXPECT_GT(range.count(), 0);
      end = range.begin;
      told.push_back(
          ReadAll<float>(In(parameters.gradients().Rows(range.begin, range.end)).as<float>()));
    });
    EXPECT_EQ(end, 0);
    // head, final norm (pre-norm), two layers, embeddings
    EXPECT_EQ(told.size(), pre_norm ? 5u : 4u);
    // What was told is final: nothing is added afterwards.
    end = parameters.count();
    for (const std::vector<float>& gradients : told) {
      end -= gradients.size();
      EXPECT_EQ(
          gradients,
          ReadAll<float>(In(parameters.gradients().Rows(end, end + gradients.size())).as<float>()));
    }
  }
}

// Sequences [begin, end) of a batch.
datasets::Batch Cut(const datasets::Batch& batch, int64_t begin, int64_t end) {
  const int64_t n = batch.length, slots = batch.target_token.size() / batch.sequences;
  datasets::Batch part;
  part.Resize(end - begin, n, slots * (end - begin));
  part.first_sample = batch.first_sample + begin;
  const auto copy = [&](std::vector<int32_t>& to, const std::vector<int32_t>& from, int64_t width) {
    std::copy(from.begin() + begin * width, from.begin() + end * width, to.begin());
  };
  copy(part.tokens, batch.tokens, n);
  copy(part.positions, batch.positions, n);
  copy(part.types, batch.types, n);
  copy(part.document, batch.document, n);
  copy(part.target_position, batch.target_position, slots);
  copy(part.target_token, batch.target_token, slots);
  for (int64_t m = 0; m < slots * (end - begin); ++m) {
    if (part.target_token[m] >= 0) part.target_position[m] -= begin * n;
  }
  return part;
}

// Dropout, random flips and the balance loss are keyed by the place in the global batch.
TEST(Model, ABatchCutIntoMicroBatchesHasTheSameGradients) {
  AttentionConfig random_flips = TreeAttention(&kTfAttention, kBinary, kFlip);
  random_flips.tree.flip_choice = FlipChoice::kRandom;
  random_flips.tree.balance = Balance::kLoss;
  random_flips.tree.balance_weight = 0.1f;
  const ModelConfig config =
      SmallConfig({FullAttention(), random_flips, TreeAttention(&kTcAttention, kBinary, kDense)});
  datasets::Batch batch = SmallBatch(4, 12, config.vocabulary);
  batch.first_sample = 40;
  batch.target_token[0] = batch.target_token[1] = datasets::kNoTarget;
  ModelBench whole(config, batch, DType::kFloat64), half(config, Cut(batch, 0, 2), DType::kFloat64);
  const double loss = whole.Loss();
  whole.model.Backward(whole.ctx, {});
  double sum = half.Loss();
  half.model.Backward(half.ctx, {});
  half.batch = Cut(batch, 2, 4);
  sum += half.Loss();
  half.model.Backward(half.ctx, {});
  EXPECT_NEAR(sum, loss, 1e-12 * loss);
  const auto expected = whole.model.parameters().gradients().as<double>();
  const auto got = half.model.parameters().gradients().as<double>();
  for (int64_t i = 0; i < expected.count(); ++i) {
    EXPECT_NEAR(got[i], expected[i], 1e-11 * (1 + std::abs(expected[i]))) << "at " << i;
  }
}

TEST(Model, NudgingMovesTheTreesOfBiasBalanceAndNoOther) {
  AttentionConfig balanced = TreeAttention(&kTfAttention, kBinary, kFlip);
  balanced.tree.balance = Balance::kBias;
  balanced.tree.balance_weight = 0.01f;
  const ModelConfig config = SmallConfig({balanced, TreeAttention(&kTfAttention, kBinary, kFlip)});
  ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat64);
  ASSERT_EQ(bench.model.ReadBalanceCounts(bench.ctx).size(), 1u);
  bench.Loss({.training = false});
  const auto rows = [&] {
    double sum = 0;
    for (float count : ReadAll<float>(In(bench.model.ReadBalanceCounts(bench.ctx)[0]).as<float>()))
      sum += count;
    return sum;
  };
  EXPECT_EQ(rows(), 0) << "evaluation counts nothing";
  bench.Loss();
  EXPECT_EQ(rows(), 2 * 2 * bench.batch.CountTokens()) << "queries and keys of two heads";
  const auto before = ReadAll<double>(In(bench.model.parameters().values()).as<double>());
  bench.model.NudgeBalance(bench.ctx);
  const Parameter* bias =
      bench.model.parameters().Find("bert.encoder.layer.0.attention.self.tree.bias");
  const auto after = bench.model.parameters().values().as<double>();
  double moved = 0;
  for (int64_t i = 0; i < after.count(); ++i) {
    if (bias->range.begin <= i && i < bias->range.end) {
      EXPECT_LE(std::abs(after[i] - before[i]), 0.01f);
      moved += std::abs(after[i] - before[i]);
    } else {
      EXPECT_EQ(after[i], before[i]);
    }
  }
  EXPECT_GT(moved, 0);
}

TEST(Model, ActivationsOfTfGrowLinearlyWithTheLength) {
  const auto bytes = [](int64_t length) {
    ModelConfig config = SmallConfig({TreeAttention(&kTfAttention, kBinary, kFlip)});
    config.max_positions = 512;
    Context ctx = Context::Cpu();
    return ModelStage(ctx, config, {2, length, length / 8}, DType::kFloat32).ActivationBytes();
  };
  const int64_t first = bytes(128), second = bytes(256), fourth = bytes(512);
  EXPECT_EQ(second, 2 * first);
  EXPECT_EQ(fourth, 2 * second);
}

TEST(Model, TemporariesOfTfHoldNoMatrixOfPairs) {
  constexpr int64_t kLength = 4096;
  ModelConfig config = SmallConfig({TreeAttention(&kTfAttention, TreeShape::Binary(4), kFlip)});
  config.max_positions = kLength;
  ModelBench bench(config, SmallBatch(1, kLength, config.vocabulary), DType::kFloat32);
  bench.Loss();
  bench.model.Backward(bench.ctx, {});
  // A quarter of one head's n x n matrix: many times what O(n) needs, about 1 KiB a token.
  EXPECT_LT(bench.ctx.scratch().bytes(), kLength * kLength * int64_t{sizeof(float)} / 4);
}

TEST(Model, EachParameterKnowsItsLayer) {
  const AttentionConfig tree = TreeAttention(&kTcAttention, kBinary, kDense);
  ModelConfig config = SmallConfig({FullAttention(), tree});
  config.pre_norm = true;  // with a final norm, which is of no layer
  ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
  for (const Parameter& parameter : bench.model.parameters().list()) {
    const bool of_layer = parameter.name.starts_with("bert.encoder.layer.");
    EXPECT_EQ(parameter.layer != kNoLayer, of_layer) << parameter.name;
    if (!of_layer) continue;
    EXPECT_TRUE(parameter.name.starts_with(EncoderLayerName(parameter.layer) + "."))
        << parameter.name;
  }
}

// The whole of it: gradients that point down hill.
TEST(Model, LearnsABatchByHeart) {
  for (const AttentionConfig& attention :
       {FullAttention(), TreeAttention(&kTfAttention, kBinary, kFlip),
        TreeAttention(&kTfAttention, kBinary, kDense),
        TreeAttention(&kTcAttention, kBinary, kDense),
        TreeAttention(&kTcAttention, kBinary, kFlip)}) {
    ModelConfig config = SmallConfig({attention, attention});
    config.dropout = config.attention_dropout = 0;
    ModelBench bench(config, SmallBatch(2, 12, config.vocabulary), DType::kFloat32);
    Parameters& parameters = bench.model.parameters();
    const double first = bench.Loss();
    for (int step = 0; step < 60; ++step) {
      parameters.ZeroGradients(bench.ctx);
      bench.Loss({.step = step});
      bench.model.Backward(bench.ctx, {});
      const auto w = parameters.values().as<float>(), dw = parameters.gradients().as<float>();
      for (int64_t i = 0; i < w.count(); ++i) w[i] -= 0.02f * dw[i];
    }
    EXPECT_LT(bench.Loss(), first / 4);
  }
}

}  // namespace

}  // namespace treeformer
