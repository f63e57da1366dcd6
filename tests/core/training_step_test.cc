// Steps as CUDA graphs on the emulated GPU, which dies where work that is recorded takes new
// memory.

#include "core/training/training_step.h"

#include "kernels/emulation/emulated_device.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int kMicroBatches = 2;
constexpr int64_t kLength = 40;

// DENSE in every third step.
ModelConfig EveryThirdStep(const AttentionKind* kind) {
  AttentionConfig attention = TreeAttention(kind, TreeShape::Binary(2), TreeGradient::kDense);
  attention.tree.router_interval = 3;
  ModelConfig config = SmallConfig({attention});
  config.width = 64;
  config.feed_forward = 96;
  config.max_positions = kLength;
  return config;
}

// The sums of steps [first, end) of a model that is new, as a stage or a resumed run begins.
std::vector<StepSums> Train(const ModelConfig& config, int64_t first, int64_t end, bool graphs) {
  Context ctx = Context::Cuda(/*index=*/0);
  ModelStage model(ctx, config, {1, kLength, 4}, DType::kBFloat16);
  model.parameters().Initialize(ctx, /*seed=*/7);
  OptimizerState state(ctx, model.parameters());
  TrainingStep work(ctx, model, kMicroBatches, graphs);
  const datasets::Batch batch = SmallBatch(1, kLength, config.vocabulary);
  std::vector<StepSums> sums;
  for (int64_t step = first; step < end; ++step) {
    work.Begin(ctx, {.seed = 11, .step = step});
    for (int micro = 0; micro < kMicroBatches; ++micro) {
      work.Forward(ctx, micro, batch);
      work.Backward(ctx, micro, /*hook=*/{});
    }
    work.sums(ctx);
    work.Update(ctx, Optimizer({}), state, /*learning_rate=*/1e-3, step + 1);
    sums.push_back(work.Read(ctx));
  }
  return sums;
}

void ExpectSameSums(const ModelConfig& config, int64_t first, int64_t end) {
  SCOPED_TRACE(testing::Message() << "from step " << first);
  const std::vector<StepSums> expected = Train(config, first, end, /*graphs=*/false);
  const std::vector<StepSums> sums = Train(config, first, end, /*graphs=*/true);
  for (size_t i = 0; i < sums.size(); ++i) {
    EXPECT_EQ(sums[i].metrics.sums, expected[i].metrics.sums) << i;
    EXPECT_EQ(sums[i].squared_norm, expected[i].squared_norm) << i;
  }
}

// Whatever step comes first: one in which DENSE runs, or one in which it does not.
TEST(Graphs, AreMadeOnceForStepsWithAndOnceForStepsWithoutTheDenseGradient) {
  for (const AttentionKind* kind : {&kTfAttention, &kTcAttention}) {
    for (const int64_t first : {1, 0}) {
      const int64_t made = emulation::GraphsMade();
      ExpectSameSums(EveryThirdStep(kind), first, first + 6);
      EXPECT_EQ(emulation::GraphsMade() - made, 2 * 2 * kMicroBatches + 1) << "with the update's";
    }
  }
}

}  // namespace

}  // namespace treeformer
