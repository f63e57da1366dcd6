// What `bench --device=cuda` runs, on a GPU or on the emulated one: that it gets to its end, and
// that a model trains there.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "launcher/bench/router/task_training.h"
#include "launcher/bench/timing/operator_suite.h"
#include "launcher/bench/timing/random_rows.h"

namespace treeformer::bench {
namespace {

class BenchDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "no GPU, and none is emulated";
  }
};

AttentionConfig Tree(const AttentionKind* kind, const TreeShape& shape, TreeGradient gradient) {
  AttentionConfig attention;
  attention.kind = kind;
  attention.shape = shape;
  attention.tree.gradient = gradient;
  return attention;
}

TEST_F(BenchDeviceTest, RandomRowsAreThoseOfTheCpuRounded) {
  Context cpu = Context::Cpu(), cuda = Context::Cuda(0);
  const Shape shape{17, 31};
  const Buffer on_cpu(Device::kCpu, DType::kBFloat16, shape);
  const Buffer on_cuda(Device::kCuda, DType::kBFloat16, shape);
  const Buffer fetched(Device::kCpu, DType::kBFloat16, shape);
  FillNormal(cpu, on_cpu, 1);
  FillNormal(cuda, on_cuda, 1);
  Copy(cuda, fetched, on_cuda);
  cuda.Synchronize();
  for (int64_t i = 0; i < shape.count(); ++i) {
    EXPECT_EQ(fetched.as<BFloat16>()[i].bits, on_cpu.as<BFloat16>()[i].bits) << i;
  }
}

TEST_F(BenchDeviceTest, EveryPassOfEveryKindOfAttentionRuns) {
  const ModuleSize size{.sequences = 2, .length = 35, .heads = 1, .head_width = 32};
  const TreeShape binary = TreeShape::Binary(2), kary = TreeShape::Kary({3, 2});
  const std::vector<OperatorRow> rows = {
      {"TF", Tree(&kTfAttention, binary, TreeGradient::kFlip), /*spread=*/true},
      {"skewed", Tree(&kTfAttention, binary, TreeGradient::kFlip), /*spread=*/true, 0.5},
      {"k-ary", Tree(&kTfAttention, kary, TreeGradient::kFlip), /*spread=*/true},
      {"DENSE", Tree(&kTfAttention, binary, TreeGradient::kDense)},
      {"TC", Tree(&kTcAttention, binary, TreeGradient::kDense)},
      {"full", AttentionConfig()}};
  const std::string json = testing::TempDir() + "/operators_on_gpu.json";
  std::ostringstream out;
  RunOperatorSuite({.lengths = {}, .rows = "", .json = json, .device = Device::kCuda},
                   {{size, rows}},
                   {.copy_bytes = 4096, .matmul = 16, .sample = 20, .group_seconds = 0}, out);
  std::map<std::string, int> passes;
  std::ifstream file(json);
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    EXPECT_EQ(row.at("device"), "cuda");
    EXPECT_EQ(row.at("dtype"), "bfloat16");
    if (!row.contains("pass")) continue;
    ++passes[row.at("attention")];
    EXPECT_GT(row.at("seconds"), 0);
    if (row.at("pass") == "forward") {
      EXPECT_EQ(row.at("bytes"), 4 * size.rows() * size.width() * 2) << line;
    }
  }
  const std::map<std::string, int> expected = {{"TF", 7},    {"skewed", 7}, {"k-ary", 7},
                                               {"DENSE", 7}, {"TC", 7},     {"full", 5}};
  EXPECT_EQ(passes, expected) << out.str();
}

TEST_F(BenchDeviceTest, BalancedThresholdsAreThoseThatTheModuleGetsAndSpreadItsRows) {
  const AttentionConfig attention = Tree(&kTfAttention, TreeShape::Binary(1), TreeGradient::kFlip);
  const ModuleSize size{.length = 48, .heads = 2, .head_width = 32};
  const std::vector<float> biases = BalancedBiases(Context::Cuda(0), attention, size, 0);
  ASSERT_EQ(biases.size(), 2u);
  AttentionModule module(Context::Cuda(0), attention, size);
  module.SetTreeBiases(biases);
  EXPECT_EQ(module.TreeBiases(), biases);
  module.ForwardWithoutProjections(/*training=*/false);
  // Queries and keys together are halved; the two sides alone by chance.
  EXPECT_NEAR(module.ReadStatistics().density, 0.5, 0.1);
}

// The last token of a pair is the first one's successor.
class Successors : public Task {
 public:
  datasets::Batch Training(int64_t step) const override {
    datasets::Batch batch;
    batch.Resize(shape().sequences, shape().length, shape().targets);
    std::fill(batch.document.begin(), batch.document.end(), 0);
    for (int64_t i = 0; i < shape().sequences * shape().length; ++i) {
      batch.tokens[i] = static_cast<int32_t>((step + i) % vocabulary());
      batch.positions[i] = static_cast<int32_t>(i % shape().length);
    }
    for (int64_t t = 0; t < shape().targets; ++t) {
      batch.target_position[t] = static_cast<int32_t>(t * shape().length);
      batch.target_token[t] =
          static_cast<int32_t>((batch.tokens[t * shape().length] + 1) % vocabulary());
    }
    return batch;
  }
  datasets::Batch HeldOut(int64_t i) const override { return Training(i); }
  BatchShape shape() const override { return {/*sequences=*/4, /*length=*/5, /*targets=*/4}; }
  int64_t vocabulary() const override { return 8; }
  int64_t token_types() const override { return 1; }
};

TEST_F(BenchDeviceTest, TaskTrainingLearnsThereWithAndWithoutGraphs) {
  ModelConfig config;
  config.layers = 1;
  config.width = 32;
  config.heads = 1;
  config.feed_forward = 64;
  config.dropout = config.attention_dropout = 0;
  config.initial_deviation = 0.2f;
  config.attention = {Tree(&kTfAttention, TreeShape::Binary(1), TreeGradient::kFlip)};
  const Successors task;
  double losses[2];
  for (const bool graphs : {false, true}) {
    TaskTraining training(task, config, /*seed=*/1, Context::Cuda(0), graphs);
    training.Train(/*steps=*/30, /*learning_rate=*/3e-2, [](int64_t) {});
    losses[graphs] = training.Evaluate().loss;
    EXPECT_LT(losses[graphs], 0.5 * std::log(8.0));  // half a uniform guess's
    EXPECT_LE(training.Density(), 1);
  }
  EXPECT_EQ(losses[0], losses[1]);
}

}  // namespace
}  // namespace treeformer::bench
