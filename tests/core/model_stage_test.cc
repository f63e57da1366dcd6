// A model cut into stages, with several micro-batches in flight, with activations made twice, with
// the gradients of weights put off: always the gradients of the whole model, bit for bit.

#include "core/model/model_stage.h"

#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "dist/schedule.h"
#include "tests/core/sequence_classifier.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t kLength = 12;
constexpr int kMicroBatches = 3;

ModelConfig Config(bool pre_norm = false) {
  ModelConfig config = SmallConfig(
      {FullAttention(), TreeAttention(&kTfAttention, TreeShape::Binary(2), TreeGradient::kFlip),
       TreeAttention(&kTcAttention, TreeShape::Binary(2), TreeGradient::kDense)});
  config.attention[1].tree.balance = Balance::kBias;
  config.attention[1].tree.balance_weight = 0.1f;
  config.pre_norm = pre_norm;
  return config;
}

datasets::Batch MicroBatchOf(int micro) {
  datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, /*vocabulary=*/29);
  for (int32_t& token : batch.tokens) token = (token + 5 * micro) % 29;
  batch.first_sample = 2 * micro;
  return batch;
}

const StepInfo kStep{.seed = 11, .step = 4, .training = true};

struct Result {
  std::vector<float> gradients;
  std::vector<double> sums;
  std::vector<Range> reported;  // by the last Backward
};

Result Read(Context& ctx, ModelStage& model) {
  Result result;
  result.gradients = ReadAll<float>(In(model.parameters().gradients()).as<float>());
  result.sums = model.ReadSums(ctx).sums;
  return result;
}

// One micro-batch after the other through one slot.
Result Expected(const ModelConfig& config, const Objective& objective = MaskedLm()) {
  Context ctx = Context::Cpu();
  ModelStage model(ctx, config, ShapeOf(MicroBatchOf(0)), DType::kFloat32,
                   {.objective = objective});
  model.parameters().Initialize(ctx, /*seed=*/7);
  for (int micro = 0; micro < kMicroBatches; ++micro) {
    model.Forward(ctx, MicroBatchOf(micro), kStep);
    model.Backward(ctx, {});
  }
  return Read(ctx, model);
}

// The same by a list of operations.
Result ByOperations(const StageOptions& options, const std::vector<dist::Action>& operations,
                    const ModelConfig& config = Config()) {
  Context ctx = Context::Cpu();
  ModelStage model(ctx, config, ShapeOf(MicroBatchOf(0)), DType::kFloat32, options);
  model.parameters().Initialize(ctx, /*seed=*/7);
  std::vector<Range> reported;
  const auto report = [&](Range range) { reported.push_back(range); };
  for (const auto& [verb, micro] : operations) {
    const int slot = micro % options.slots;
    if (verb == dist::Verb::kBackward || verb == dist::Verb::kBackwardWeights) reported.clear();
    switch (verb) {
      case dist::Verb::kForward:
        model.Forward(ctx, MicroBatchOf(micro), kStep, slot);
        break;
      case dist::Verb::kBackward:
        model.Backward(ctx, report, slot);
        break;
      case dist::Verb::kBackwardInput:
        model.BackwardInput(ctx, slot);
        break;
      case dist::Verb::kBackwardWeights:
        model.BackwardWeights(ctx, report, slot);
        break;
    }
  }
  Result result = Read(ctx, model);
  result.reported = reported;
  return result;
}

void ExpectTiles(const std::vector<Range>& reported, int64_t count) {
  int64_t end = count;
  for (const Range& range : reported) {
    EXPECT_EQ(range.end, end);
    end = range.begin;
  }
  EXPECT_EQ(end, 0);
}

TEST(ModelStage, SlotsKeepMicroBatchesInFlightApart) {
  for (const bool pre_norm : {false, true}) {
    const Result expected = Expected(Config(pre_norm));
    for (const int slots : {1, 2, 3}) {
      const Result found =
          ByOperations({.slots = slots}, dist::InFlight(kMicroBatches, slots), Config(pre_norm));
      EXPECT_EQ(found.gradients, expected.gradients) << slots;
      EXPECT_EQ(found.sums, expected.sums) << slots;
      ExpectTiles(found.reported, std::ssize(found.gradients));
    }
  }
}

TEST(ModelStage, ActivationsMadeASecondTimeAreTheSame) {
  const Result found = ByOperations({.recompute = true}, dist::OneByOne(kMicroBatches));
  EXPECT_EQ(found.gradients, Expected(Config()).gradients);
}

TEST(ModelStage, ActivationsMadeASecondTimeCountNoRowTwice) {
  Context ctx = Context::Cpu();
  std::vector<std::vector<float>> counts;
  for (const bool recompute : {false, true}) {
    ModelStage model(ctx, Config(), ShapeOf(MicroBatchOf(0)), DType::kFloat32,
                     {.recompute = recompute});
    model.parameters().Initialize(ctx, /*seed=*/7);
    model.Forward(ctx, MicroBatchOf(0), kStep);
    model.Backward(ctx, {});
    counts.push_back(ReadAll<float>(In(model.ReadBalanceCounts(ctx).at(0)).as<float>()));
  }
  EXPECT_EQ(counts[0], counts[1]);
}

TEST(ModelStage, RecomputingKeepsLess) {
  Context ctx = Context::Cpu();
  const ModelConfig config = SmallConfig(std::vector<AttentionConfig>(8, FullAttention()));
  const auto bytes = [&](const StageOptions& options) {
    return ModelStage(ctx, config, ShapeOf(MicroBatchOf(0)), DType::kFloat32, options)
        .ActivationBytes();
  };
  EXPECT_LT(bytes({.recompute = true}), bytes({}) / 2);
  EXPECT_LT(bytes({.inference = true}), bytes({.recompute = true}));
  EXPECT_EQ(bytes({.slots = 3}), 3 * bytes({}));
}

TEST(ModelStage, GradientsOfWeightsMayWait) {
  using enum dist::Verb;
  const std::vector<dist::Action> late = {
      {kForward, 0},       {kForward, 1},         {kBackwardInput, 0},
      {kForward, 2},       {kBackwardInput, 1},   {kBackwardWeights, 0},
      {kBackwardInput, 2}, {kBackwardWeights, 1}, {kBackwardWeights, 2}};
  for (const bool pre_norm : {false, true}) {
    const Result found =
        ByOperations({.slots = 3, .defer_weight_gradients = true}, late, Config(pre_norm));
    EXPECT_EQ(found.gradients, Expected(Config(pre_norm)).gradients);
    ExpectTiles(found.reported, std::ssize(found.gradients));
  }
}

TEST(ModelStage, ABatchMayBeSmallerThanTheLargest) {
  Context ctx = Context::Cpu();
  ModelConfig config = Config();
  config.max_positions = 40;
  const BatchShape largest{.sequences = 5, .length = 40, .targets = 31};
  ModelStage exact(ctx, config, ShapeOf(MicroBatchOf(0)), DType::kFloat32);
  ModelStage roomy(ctx, config, largest, DType::kFloat32);
  for (ModelStage* model : {&exact, &roomy}) model->parameters().Initialize(ctx, /*seed=*/7);
  const datasets::Batch large = SmallBatch(5, 40, config.vocabulary);
  roomy.Forward(ctx, SmallBatch(5, 31, config.vocabulary), kStep);  // leaves its traces behind
  for (ModelStage* model : {&exact, &roomy}) {
    model->Forward(ctx, MicroBatchOf(1), kStep);
    model->Backward(ctx, {});
  }
  const Result expected = Read(ctx, exact), found = Read(ctx, roomy);
  EXPECT_EQ(found.gradients, expected.gradients);
  EXPECT_EQ(found.sums, expected.sums);
}

TEST(ModelStage, InferenceGivesTheSumsOfTheWholeModel) {
  Context ctx = Context::Cpu();
  const StepInfo evaluation{.training = false};
  std::vector<std::vector<double>> sums;
  for (const bool inference : {false, true}) {
    ModelStage model(ctx, Config(), ShapeOf(MicroBatchOf(0)), DType::kFloat32,
                     {.inference = inference});
    model.parameters().Initialize(ctx, /*seed=*/7);
    model.Forward(ctx, MicroBatchOf(0), evaluation);
    sums.push_back(model.ReadSums(ctx).sums);
  }
  EXPECT_EQ(sums[0], sums[1]);
}

// The gradients of stages [0, cut) and [cut, end), by the names of the parameters; those of the two
// copies of the tied table are summed.
void ExpectStagesAreTheWhole(const ModelConfig& config, int64_t cut) {
  Context ctx = Context::Cpu();
  const BatchShape shape = ShapeOf(MicroBatchOf(0));
  const int64_t end = CountLayers(config);
  ModelStage whole(ctx, config, shape, DType::kFloat32);
  ModelStage first(ctx, config, shape, DType::kFloat32, {.layers = LayerRange{0, cut}});
  ModelStage second(ctx, config, shape, DType::kFloat32, {.layers = LayerRange{cut, end}});
  for (ModelStage* stage : {&whole, &first, &second}) stage->parameters().Initialize(ctx, 7);
  ASSERT_EQ(first.OutputPorts(), second.InputPorts());
  whole.Forward(ctx, MicroBatchOf(1), kStep);
  whole.Backward(ctx, {});
  first.Forward(ctx, MicroBatchOf(1), kStep);
  second.Load(ctx, MicroBatchOf(1), kStep);
  for (size_t i = 0; i < first.outputs().size(); ++i) {
    Copy(ctx, second.inputs()[i], first.outputs()[i]);
  }
  second.Forward(ctx);
  second.Backward(ctx, {});
  for (size_t i = 0; i < first.outputs().size(); ++i) {
    Copy(ctx, first.output_gradients()[i], second.input_gradients()[i]);
  }
  first.Backward(ctx, {});
  EXPECT_EQ(second.ReadSums(ctx).sums, whole.ReadSums(ctx).sums);
  for (const Parameter& parameter : whole.parameters().list()) {
    SCOPED_TRACE(parameter.name);
    const auto gradient = [&](const ModelStage& stage, const Parameter& p) {
      return ReadAll<float>(In(Parameters::Window(stage.parameters().gradients(), p)).as<float>());
    };
    std::vector<float> sum(parameter.range.count(), 0);
    for (const ModelStage* stage : {&second, &first}) {  // in the order of the backward pass
      const Parameter* own = stage->parameters().Find(parameter.name);
      if (own == nullptr) continue;
      const std::vector<float> part = gradient(*stage, *own);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
    }
    const std::vector<float> expected = gradient(whole, parameter);
    for (size_t i = 0; i < sum.size(); ++i) {
      if (parameter.tied) {
        EXPECT_NEAR(sum[i], expected[i], 1e-6 * (1 + std::abs(expected[i]))) << "at " << i;
      } else {
        EXPECT_EQ(sum[i], expected[i]) << "at " << i;
      }
    }
  }
}

TEST(ModelStage, TwoStagesAreTheWholeModelWhereverItIsCut) {
  for (const bool pre_norm : {false, true}) {
    for (int64_t cut = 1; cut < CountLayers(Config(pre_norm)); ++cut) {
      SCOPED_TRACE(testing::Message() << "cut " << cut << ", pre-norm " << pre_norm);
      ExpectStagesAreTheWhole(Config(pre_norm), cut);
    }
  }
}

TEST(ModelStage, AnotherObjectiveIsAnotherHead) {
  const Objective objective = SequenceClassification(/*classes=*/3);
  ModelConfig config = Config();
  config.dropout = config.attention_dropout = 0;
  config.attention = {FullAttention(), FullAttention()};
  config.layers = 2;
  Context ctx = Context::Cpu();
  datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  batch.target_position = {0, kLength};  // the first token of each sequence
  batch.target_token = {2, 0};           // its class
  ModelStage model(ctx, config, ShapeOf(batch), DType::kFloat64, {.objective = objective});
  model.parameters().Initialize(ctx, /*seed=*/7);
  const auto loss = [&] {
    model.Forward(ctx, batch, kStep);
    return model.ReadSums(ctx).Sum("loss");
  };
  EXPECT_GT(loss(), 0);
  model.Backward(ctx, {});
  ExpectParameterDerivatives(model.parameters(), loss);
  EXPECT_EQ(model.parameters().Find("cls.predictions.bias"), nullptr);
  EXPECT_EQ(model.ReadSums(ctx).targets, 2);
  model.Forward(ctx, batch, {.training = false});
  const std::vector<int32_t> classes = model.ReadPredictions(ctx);
  EXPECT_EQ(model.ReadSums(ctx).Sum("correct"), (classes[0] == 2) + (classes[1] == 0));
}

}  // namespace

}  // namespace treeformer
