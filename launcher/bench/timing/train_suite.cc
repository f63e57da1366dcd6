#include "launcher/bench/timing/train_suite.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <random>

#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"
#include "launcher/bench/router/task_training.h"
#include "launcher/bench/timing/timing.h"

namespace treeformer::bench {
namespace {

constexpr int64_t kTokensPerStep = 4096, kTokensPerGpuStep = 16384;
constexpr int64_t kLeafTokens = 128;
constexpr uint64_t kSeed = 1;

// Nothing can be learned of it; every step costs the same.
class RandomTokens : public Task {
 public:
  RandomTokens(int64_t length, int64_t tokens)
      : sequences_(std::max<int64_t>(1, tokens / length)), length_(length) {}

  datasets::Batch Training(int64_t step) const override {
    std::minstd_rand engine(static_cast<unsigned>(step) + 1);
    datasets::Batch batch;
    const int64_t B = shape().sequences, n = shape().length, targets = shape().targets;
    batch.Resize(B, n, targets);
    std::fill(batch.document.begin(), batch.document.end(), 0);
    for (int64_t i = 0; i < B * n; ++i) {
      batch.tokens[i] = static_cast<int32_t>(engine() % vocabulary());
      batch.positions[i] = static_cast<int32_t>(i % n);
    }
    const int64_t targets_each = targets / B;
    for (int64_t t = 0; t < targets; ++t) {
      const int64_t place = t % targets_each * n / targets_each;
      batch.target_position[t] = static_cast<int32_t>(t / targets_each * n + place);
      batch.target_token[t] = static_cast<int32_t>(engine() % vocabulary());
    }
    return batch;
  }
  datasets::Batch HeldOut(int64_t i) const override { return Training(-1 - i); }
  BatchShape shape() const override {
    return {sequences_, length_, sequences_ * (length_ * 15 / 100)};
  }
  int64_t vocabulary() const override { return 30522; }
  int64_t token_types() const override { return 2; }

 private:
  const int64_t sequences_, length_;
};

ModelConfig BertBase(const AttentionConfig& attention) {
  ModelConfig config;
  config.layers = 12;
  config.width = 768;
  config.heads = 12;
  config.feed_forward = 4 * config.width;
  config.attention.assign(config.layers, attention);
  return config;
}

struct Row {
  std::string name;
  AttentionConfig attention;
  float attention_dropout = 0.1f;
  bool cuda_graphs = false;

  ModelConfig Model() const {
    ModelConfig config = BertBase(attention);
    config.attention_dropout = attention_dropout;
    return config;
  }
};

// On a GPU each also with CUDA graphs, on a CPU without dropout of the attention's probabilities,
// which keeps other programs from their fused attention.
std::vector<Row> RowsOf(int64_t length, bool on_gpu) {
  int height = 1;
  while ((length >> height) > kLeafTokens) ++height;
  AttentionConfig tree;
  tree.kind = &kTfAttention;
  tree.shape = TreeShape::Binary(height);
  std::vector<Row> rows = {{"full", AttentionConfig()}, {Sentence("TF h=", height), tree}};
  for (int i = 0; i < 2; ++i) {
    Row row = rows[i];
    row.name += on_gpu ? " graphs" : " no dropout";
    row.cuda_graphs = on_gpu;
    if (!on_gpu) row.attention_dropout = 0;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

void RunTrainSuite(const TimingOptions& options, std::ostream& out) {
  JsonLines json(options);
  const bool on_gpu = options.device == Device::kCuda;
  out << "BERT-base, training step (dropout 0.1; \"no dropout\": none of the attention), "
      << DescribeRun(options)
      << "; medians\n\n     n  attention       sequences    s a step  tokens/s  density\n";
  for (const int64_t length : options.lengths) {
    for (const Row& row : RowsOf(length, on_gpu)) {
      if (row.name.find(options.rows) == std::string::npos) continue;
      const RandomTokens task(length, on_gpu ? kTokensPerGpuStep : kTokensPerStep);
      TaskTraining training(task, row.Model(), kSeed, MakeContext(options), row.cuda_graphs);
      const auto step = [&] {
        training.Train(/*steps=*/1, /*learning_rate=*/1e-4, [](int64_t) {});
        training.context().Synchronize();
      };
      step();  // touches all memory first, as no later one does
      const double seconds = MedianSeconds(step);
      const double density = training.Density();
      const int64_t sequences = task.shape().sequences;
      const double rate = static_cast<double>(sequences * length) / seconds;
      out << std::setw(6) << length << "  " << std::left << std::setw(16) << row.name << std::right
          << std::setw(9) << sequences << std::fixed << std::setprecision(on_gpu ? 4 : 2)
          << std::setw(12) << seconds << std::setw(10) << std::setprecision(0) << rate
          << std::setw(9) << std::setprecision(3) << density << "\n"
          << std::flush;
      json.Write({{"length", length},
                  {"attention", row.name},
                  {"sequences", sequences},
                  {"targets", task.shape().targets},
                  {"seconds", seconds},
                  {"tokens_per_second", rate},
                  {"density", density}});
    }
  }
}

}  // namespace treeformer::bench
