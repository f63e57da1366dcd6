// The model on a GPU (bfloat16) beside the model on the CPU (float32), from the same seed.

#include "core/attention/sliding_window_attention.h"
#include "core/model/model_stage.h"
#include "core/training/optimizer.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;
using enum TreeGradient;

const TreeShape kBinary = TreeShape::Binary(2);
constexpr double kRounding = 0x1p-9;  // of one value to bfloat16, relative

// Heads of 32, the smallest that a GPU has; 100 tokens fill one tile of 64 rows and a part.
ModelConfig GpuConfig(const std::vector<AttentionConfig>& attention) {
  ModelConfig config = SmallConfig(attention);
  config.width = 64;
  config.feed_forward = 96;
  config.max_positions = 100;
  config.initial_deviation = 0.1f;
  return config;
}

AttentionConfig Window(int64_t window) {
  AttentionConfig config;
  config.kind = &kSlidingWindowAttention;
  config.numbers = SlidingWindow{window};
  return config;
}

struct Twin {
  Twin(Context context, const ModelConfig& config, DType dtype)
      : ctx(std::move(context)),
        batch(SmallBatch(2, 100, config.vocabulary)),
        model(ctx, config, {2, 100, 8}, dtype) {
    model.parameters().Initialize(ctx, /*seed=*/7);
  }

  MetricSums Loss(const StepInfo& step = {.seed = 11}) {
    model.Forward(ctx, batch, step);
    return model.ReadSums(ctx);
  }
  std::vector<float> Gradients() {
    model.parameters().ZeroGradients(ctx);
    model.Backward(ctx, {});
    const Out gradients = model.parameters().gradients();
    std::vector<float> values(gradients.count());
    Copy(ctx, View<float>(values.data(), {gradients.count()}), gradients);
    ctx.Synchronize();
    return values;
  }

  Context ctx;
  datasets::Batch batch;
  ModelStage model;
};

double Norm(const std::vector<float>& x) {
  double sum = 0;
  for (float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

class DeviceModel : public testing::TestWithParam<std::vector<AttentionConfig>> {
 protected:
  void SetUp() override {
    if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  }
};

// Roundings to bfloat16 on the way to a logit: at most 28 of activations, and of the weights and
// probabilities they meet, in each of two layers, and 6 in the head; as many on the way back.  They
// add up like random steps.  A row near a plane may take another leaf than on the CPU: twice that.
TEST_P(DeviceModel, LossAndGradientsAreThoseOfTheCpuWithinRounding) {
  const ModelConfig config = GpuConfig(GetParam());
  Twin cpu(Context::Cpu(), config, DType::kFloat32);
  Twin gpu(Context::Cuda(/*index=*/0), config, DType::kBFloat16);
  const bool trees = config.attention[0].HasTrees();
  const double error = (trees ? 2 : 1) * std::sqrt(2 * 28 + 6) * kRounding;
  const double logit = std::sqrt(config.width) * config.initial_deviation;
  const MetricSums expected = cpu.Loss(), loss = gpu.Loss();
  EXPECT_EQ(loss.targets, expected.targets);
  EXPECT_NEAR(loss.Sum("loss"), expected.Sum("loss"), loss.targets * error * logit);

  const std::vector<float> want = cpu.Gradients();
  std::vector<float> difference = gpu.Gradients();
  for (size_t i = 0; i < want.size(); ++i) difference[i] -= want[i];
  EXPECT_LE(Norm(difference), std::sqrt(2.0) * error * Norm(want));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    EXPECT_NEAR(gpu.model.ReadStatistics(gpu.ctx, layer).density,
                cpu.model.ReadStatistics(cpu.ctx, layer).density, 0.01);
  }
}

// Deterministic: no sum depends on the order in which blocks run.
TEST_P(DeviceModel, TwoRunsHaveTheSameBits) {
  const ModelConfig config = GpuConfig(GetParam());
  Twin first(Context::Cuda(/*index=*/0), config, DType::kBFloat16);
  const double loss = first.Loss().Sum("loss");
  const std::vector<float> gradients = first.Gradients();
  EXPECT_EQ(first.Loss().Sum("loss"), loss);
  EXPECT_EQ(first.Gradients(), gradients);
}

TEST_P(DeviceModel, EvaluationPredictsAsTheCpuWhereItIsSure) {
  ModelConfig config = GpuConfig(GetParam());
  config.initial_deviation = 0.5f;  // logits far apart
  Twin cpu(Context::Cpu(), config, DType::kFloat32);
  Twin gpu(Context::Cuda(/*index=*/0), config, DType::kBFloat16);
  const StepInfo evaluation{.training = false};
  const MetricSums expected = cpu.Loss(evaluation), loss = gpu.Loss(evaluation);
  EXPECT_EQ(gpu.model.ReadPredictions(gpu.ctx), cpu.model.ReadPredictions(cpu.ctx));
  EXPECT_EQ(loss.Sum("correct"), expected.Sum("correct"));
}

INSTANTIATE_TEST_SUITE_P(
    Attention, DeviceModel,
    testing::Values(std::vector<AttentionConfig>{FullAttention(), FullAttention()},
                    std::vector<AttentionConfig>{TreeAttention(&kTfAttention, kBinary, kFlip)},
                    std::vector<AttentionConfig>{TreeAttention(&kTfAttention, kBinary, kDense)},
                    std::vector<AttentionConfig>{
                        TreeAttention(&kTfAttention, TreeShape::Kary({3, 4}), kFlip)},
                    std::vector<AttentionConfig>{TreeAttention(&kTcAttention, kBinary, kDense)},
                    std::vector<AttentionConfig>{TreeAttention(&kTcAttention, kBinary, kFlip)},
                    std::vector<AttentionConfig>{Window(30), Window(1)}));

}  // namespace

}  // namespace treeformer
