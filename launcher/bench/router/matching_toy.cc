#include "launcher/bench/router/matching_toy.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/attention/registry.h"
#include "core/training/rate_schedule.h"
#include "kernels/matmul/linear.h"

namespace treeformer::bench {
namespace {

constexpr int64_t kSequences = 16, kLength = 64, kWidth = 16;  // B, n, e
constexpr int64_t kRows = kSequences * kLength;
constexpr float kNoise = 0.1f;
constexpr double kLearningRate = 1e-2;
constexpr int64_t kHeldOutBatches = 16;

using Engine = std::mt19937_64;

// A random rotation: Gram-Schmidt on normal rows.
std::vector<float> RandomRotation(Engine& engine) {
  std::normal_distribution<float> normal;
  std::vector<float> rotation(kWidth * kWidth);
  for (float& value : rotation) value = normal(engine);
  for (int64_t i = 0; i < kWidth; ++i) {
    float* row = &rotation[i * kWidth];
    for (int64_t j = 0; j < i; ++j) {
      const float* other = &rotation[j * kWidth];
      const float along = std::inner_product(row, row + kWidth, other, 0.0f);
      for (int64_t c = 0; c < kWidth; ++c) row[c] -= along * other[c];
    }
    const float norm = std::sqrt(std::inner_product(row, row + kWidth, row, 0.0f));
    for (int64_t c = 0; c < kWidth; ++c) row[c] /= norm;
  }
  return rotation;
}

struct Sample {
  std::vector<float> queries = std::vector<float>(kRows * kWidth);  // x_q, x_k, v, target
  std::vector<float> keys = queries, values = queries, targets = queries;
  std::vector<int64_t> match = std::vector<int64_t>(kRows);  // row of the query's key
};

Sample Draw(Engine& engine, const std::vector<float>& rotation) {
  std::normal_distribution<float> normal;
  Sample sample;
  for (float& x : sample.keys) x = normal(engine);
  for (float& x : sample.values) x = normal(engine);
  std::iota(sample.match.begin(), sample.match.end(), 0);
  for (int64_t b = 0; b < kSequences; ++b) {
    const auto begin = sample.match.begin() + b * kLength;
    std::shuffle(begin, begin + kLength, engine);
  }
  for (int64_t i = 0; i < kRows; ++i) {
    const float* key = &sample.keys[sample.match[i] * kWidth];
    for (int64_t c = 0; c < kWidth; ++c) {
      const float* row = &rotation[c * kWidth];
      sample.queries[i * kWidth + c] =
          std::inner_product(row, row + kWidth, key, 0.0f) + kNoise * normal(engine);
      sample.targets[i * kWidth + c] = sample.values[sample.match[i] * kWidth + c];
    }
  }
  return sample;
}

class Toy {
 public:
  Toy(const AttentionConfig& attention, uint64_t seed)
      : engine_(seed), rotation_(RandomRotation(engine_)), seed_(seed) {
    config_.layers = config_.heads = 1;
    config_.width = kWidth;
    config_.attention_dropout = 0;
    config_.attention = {attention};
    const float deviation = 1 / std::sqrt(static_cast<float>(kWidth));
    for (Parameters::Id& weight : weights_) {
      weight = parameters_.Declare(&weight == weights_ ? "query.weight" : "key.weight",
                                   {kWidth, kWidth}, Initializer::Normal(deviation), Role::kWeight);
    }
    attention_ = MakeAttention({config_, parameters_, weight_gradients_}, /*layer=*/0, "toy");
    BindAlone(*attention_, activations_, shape_);
    parameters_.Allocate(ctx_, DType::kFloat32);
    parameters_.Initialize(ctx_, seed);
    state_ = OptimizerState(ctx_, parameters_);
    batch_.document = document_;
    batch_.targets_of.assign(kSequences, kLength);
  }

  void Step(int64_t step, const OptimizerConfig& schedule, int64_t steps) {
    const Sample sample = Draw(engine_, rotation_);
    batch_.step = {.seed = seed_, .step = step, .training = true};
    Forward(sample);
    const Shape rows = o_.shape();
    Buffer d_o = Rows(), dq = Rows(), dk = Rows(), dv = Rows();
    for (int64_t i = 0; i < rows.count(); ++i) {
      d_o.as<float>()[i] = 2 * (o_.as<float>()[i] - sample.targets[i]);
    }
    parameters_.ZeroGradients(ctx_);
    const In v = AsRows(sample.values);
    attention_->Backward(ctx_, dq, dk, dv, d_o, SelfAttention(q_, k_, v, batch_), o_, batch_);
    LinearBackwardWeights(ctx_, parameters_.gradient(weights_[0]), {}, Flat(dq),
                          Flat(AsRows(sample.queries)));
    LinearBackwardWeights(ctx_, parameters_.gradient(weights_[1]), {}, Flat(dk),
                          Flat(AsRows(sample.keys)));
    double squared_norm = 0;
    const View<double> norm(&squared_norm, {1});
    SquaredNorm(ctx_, norm, parameters_.gradients());
    const auto targets = static_cast<double>(rows.count());
    Optimizer(schedule).Step(ctx_, parameters_, state_, norm, {&targets, {1}},
                             LearningRate(schedule, step, steps), step + 1);
  }

  TaskResult Evaluate() {
    TaskResult result;
    result.density.assign(1, 0);
    for (int64_t i = 0; i < kHeldOutBatches; ++i) {
      const Sample sample = Draw(engine_, rotation_);
      batch_.step.training = false;
      Forward(sample);
      double error = 0;
      for (int64_t j = 0; j < o_.shape().count(); ++j) {
        const double difference = o_.as<float>()[j] - sample.targets[j];
        error += difference * difference / o_.shape().count();
      }
      result.loss += error / kHeldOutBatches;
      result.accuracy += Recall(sample) / kHeldOutBatches;
      result.density[0] += attention_->ReadStatistics(ctx_, batch_).density / kHeldOutBatches;
    }
    return result;
  }

 private:
  static Buffer Rows() {
    return Buffer(Device::kCpu, DType::kFloat32, {kSequences, kLength, 1, kWidth});
  }
  static In AsRows(const std::vector<float>& values) {
    return View<const float>(values.data(), {kSequences, kLength, 1, kWidth});
  }
  static In Flat(In rows) { return rows.Reshaped({kRows, kWidth}); }

  void Forward(const Sample& sample) {
    LinearForward(ctx_, q_.view().Reshaped({kRows, kWidth}), Flat(AsRows(sample.queries)),
                  parameters_.value(weights_[0]), {});
    LinearForward(ctx_, k_.view().Reshaped({kRows, kWidth}), Flat(AsRows(sample.keys)),
                  parameters_.value(weights_[1]), {});
    attention_->Forward(ctx_, o_, SelfAttention(q_, k_, AsRows(sample.values), batch_), batch_);
  }

  // Share of queries whose leaf is that of their key.
  double Recall(const Sample& sample) {
    const Tree& tree = *attention_->trees().at(0);
    const Shape shape{kSequences, 1, kLength};
    const Buffer query_leaf(Device::kCpu, DType::kInt32, shape);
    const Buffer key_leaf(Device::kCpu, DType::kInt32, shape);
    for (const auto& [leaf, x] : {std::pair{&query_leaf, &q_}, {&key_leaf, &k_}}) {
      Routing routing;
      routing.leaf = *leaf;
      Route(ctx_, routing, tree.Router(*x), batch_.document, /*rule=*/{});
    }
    int64_t found = 0;
    for (int64_t i = 0; i < kRows; ++i) {
      found += query_leaf.as<int32_t>()[i] == key_leaf.as<int32_t>()[sample.match[i]];
    }
    return static_cast<double>(found) / kRows;
  }

  Context ctx_ = Context::Cpu();
  Engine engine_;
  const std::vector<float> rotation_;
  const uint64_t seed_;
  ModelConfig config_;
  const BatchShape shape_{kSequences, kLength, kRows};
  Parameters parameters_;
  OptimizerState state_;
  WeightGradients weight_gradients_;
  Activations activations_{Device::kCpu, DType::kFloat32};
  Parameters::Id weights_[2];
  std::unique_ptr<Attention> attention_;
  const Buffer document_{Device::kCpu, DType::kInt32, {kSequences, kLength}};  // all 0
  MicroBatch batch_;
  Buffer q_ = Rows(), k_ = Rows(), o_ = Rows();
};

}  // namespace

TaskResult RunMatchingToy(const AttentionConfig& attention, int64_t steps, uint64_t seed,
                          const std::function<void(int64_t)>& progress) {
  Toy toy(attention, seed);
  const OptimizerConfig schedule{.learning_rate = kLearningRate,
                                 .weight_decay = 0,
                                 .clip_norm = 0,
                                 .warmup_steps = steps / 20,
                                 .final_rate = 0.1};
  for (int64_t step = 0; step < steps; ++step) {
    toy.Step(step, schedule, steps);
    progress(step);
  }
  return toy.Evaluate();
}

}  // namespace treeformer::bench
