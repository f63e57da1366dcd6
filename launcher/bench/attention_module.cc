#include "launcher/bench/attention_module.h"

#include <algorithm>
#include <random>

#include "kernels/linear.h"

namespace bench {
namespace {

constexpr uint64_t kSeed = 1;

ModelConfig Table4(const AttentionConfig& attention) {
  ModelConfig config;
  config.layers = 1;
  config.width = kModuleWidth;
  config.heads = kModuleHeads;
  config.dropout = config.attention_dropout = 0;
  config.attention = {attention};
  return config;
}

void FillNormal(Buffer& buffer, uint64_t seed) {
  std::minstd_rand engine(seed);
  std::normal_distribution<float> normal;
  std::generate_n(buffer.as<float>().data(), buffer.view().count(), [&] { return normal(engine); });
}

bool IsTreeBias(const Parameter& parameter) { return parameter.name.ends_with("tree.bias"); }

}  // namespace

AttentionModule::AttentionModule(const AttentionConfig& attention, int64_t length,
                                 MatmulPrecision precision)
    : ctx_(Context::Cpu(precision)),
      config_(Table4(attention)),
      shape_{/*sequences=*/1, length, /*targets=*/length} {
  branch_ = std::make_unique<AttentionBranch>(
      LayerBuilder{config_, shape_, parameters_, activations_}, /*layer=*/0, "attention");
  parameters_.Allocate(ctx_, DType::kFloat32);
  parameters_.Initialize(ctx_, kSeed);
  for (Buffer* rows : {&x_, &y_, &dx_, &dy_}) {
    *rows = Buffer(ctx_.device(), DType::kFloat32, {length, config_.width});
  }
  FillNormal(x_, kSeed + 1);
  FillNormal(dy_, kSeed + 2);
  document_ = Buffer(ctx_.device(), DType::kInt32, {1, length});  // all 0: one document
  batch_.document = document_;
  batch_.targets_of = {length};
}

void AttentionModule::Take(const TrainedAttention& trained) {
  for (const Parameter& parameter : parameters_.list()) {
    const View<float> value = Parameters::Window(parameters_.values(), parameter);
    const std::vector<float>& weight = trained.weights.at(parameter.name);
    CHECK_EQ(static_cast<int64_t>(weight.size()), value.count()) << parameter.name;
    std::copy(weight.begin(), weight.end(), value.data());
  }
  std::copy_n(trained.rows.begin(), x_.view().count(), x_.as<float>().data());
}

void AttentionModule::Forward(bool training) {
  batch_.step.training = training;
  branch_->Forward(ctx_, y_, x_, batch_);
}

void AttentionModule::Backward() {
  Zero(ctx_, dx_);
  branch_->Backward(ctx_, dx_, dy_, x_, batch_);
}

Buffer AttentionModule::Project(const std::string& name) {
  const auto value = [&](const char* part) {
    return Parameters::Window(parameters_.values(), *parameters_.Find(name + part));
  };
  Buffer y(ctx_.device(), DType::kFloat32, x_.view().shape());
  LinearForward(ctx_, y, x_, value(".weight"), value(".bias"));
  return y;
}

void AttentionModule::ForwardWithoutProjections(bool training) {
  if (!q_.view()) {
    q_ = Project("attention.self.query");
    k_ = Project("attention.self.key");
    v_ = Project("attention.self.value");
    o_ = Buffer(ctx_.device(), DType::kFloat32, x_.view().shape());
  }
  batch_.step.training = training;
  const Shape heads{1, shape_.length, config_.heads, config_.head_width()};
  const auto of = [&](const Buffer& rows) { return rows.view().Reshaped(heads); };
  branch_->attention().Forward(ctx_, of(o_), of(q_), of(k_), of(v_), batch_);
}

TreeStatistics AttentionModule::ReadStatistics() {
  return branch_->attention().ReadStatistics(ctx_, batch_);
}

std::vector<float> AttentionModule::TreeBiases() const {
  std::vector<float> biases;
  for (const Parameter& parameter : parameters_.list()) {
    if (!IsTreeBias(parameter)) continue;
    const View<float> bias = Parameters::Window(parameters_.values(), parameter);
    biases.insert(biases.end(), bias.data(), bias.data() + bias.count());
  }
  return biases;
}

void AttentionModule::SetTreeBiases(const std::vector<float>& biases) {
  const float* next = biases.data();
  for (const Parameter& parameter : parameters_.list()) {
    if (!IsTreeBias(parameter)) continue;
    const View<float> bias = Parameters::Window(parameters_.values(), parameter);
    std::copy_n(std::exchange(next, next + bias.count()), bias.count(), bias.data());
  }
  CHECK(next == biases.data() + biases.size()) << "biases of other trees";
}

std::vector<float> BalancedBiases(AttentionConfig attention, double density, int64_t sample) {
  attention.tree.balance = Balance::kBias;
  AttentionModule module(attention, sample);
  const int nudges = attention.shape.binary ? 30 : 100;
  const float first_step = attention.shape.binary ? 0.4f : 2;  // of a k-ary child's small share
  for (int i = 0; i < nudges; ++i) {
    module.ForwardWithoutProjections(/*training=*/true);
    for (Tree* tree : module.trees()) {
      tree->NudgeBalance(module.context(), first_step * (1 - static_cast<float>(i) / nudges));
    }
  }
  if (density == 0) return module.TreeBiases();

  CHECK(attention.shape.binary);
  const std::vector<float> balanced = module.TreeBiases();
  std::vector<float> shifted = balanced;
  float low = 0, high = 4;  // a common shift of all thresholds, by bisection
  for (int i = 0; i < 12; ++i) {
    const float shift = (low + high) / 2;
    std::transform(balanced.begin(), balanced.end(), shifted.begin(),
                   [&](float bias) { return bias + shift; });
    module.SetTreeBiases(shifted);
    module.ForwardWithoutProjections(/*training=*/false);
    (module.ReadStatistics().density < density ? low : high) = shift;
  }
  return shifted;
}

}  // namespace bench
