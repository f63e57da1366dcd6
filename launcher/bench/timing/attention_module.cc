#include "launcher/bench/timing/attention_module.h"

#include <algorithm>
#include <iterator>

#include "kernels/matmul/linear.h"
#include "launcher/bench/timing/random_rows.h"
#include "launcher/program/flag_values.h"

namespace treeformer::bench {
namespace {

constexpr uint64_t kSeed = 1;

ModelConfig OneLayer(const AttentionConfig& attention, const ModuleSize& size) {
  ModelConfig config;
  config.layers = 1;
  config.width = size.width();
  config.heads = size.heads;
  config.dropout = config.attention_dropout = 0;
  config.attention = {attention};
  return config;
}

}  // namespace

AttentionModule::AttentionModule(Context ctx, const AttentionConfig& attention,
                                 const ModuleSize& size)
    : ctx_(std::move(ctx)),
      config_(OneLayer(attention, size)),
      shape_{size.sequences, size.length, /*targets=*/size.rows()},
      heads_{size.sequences, size.length, size.heads, size.head_width},
      activations_(ctx_.device(), ActivationDType(ctx_.device())) {
  branch_ = std::make_unique<AttentionBranch>(LayerBuilder{config_, parameters_, weights_},
                                              /*layer=*/0, "attention");
  BindAlone(*branch_, activations_, shape_);
  parameters_.Allocate(ctx_, activations_.dtype());
  parameters_.Initialize(ctx_, kSeed);
  for (Buffer* rows : {&x_, &y_, &dx_, &dy_}) {
    *rows = Buffer(ctx_.device(), activations_.dtype(), {size.rows(), config_.width});
  }
  FillNormal(ctx_, x_, kSeed + 1);
  FillNormal(ctx_, dy_, kSeed + 2);
  // all 0: one document a sequence
  document_ = Buffer(ctx_.device(), DType::kInt32, {size.sequences, size.length});
  batch_.document = document_;
  batch_.targets_of.assign(size.sequences, size.length);
}

void AttentionModule::Take(const TrainedAttention& trained) {
  CHECK(ctx_.device() == Device::kCpu);
  for (const Parameter& parameter : parameters_.list()) {
    const View<float> value = Parameters::Window(parameters_.values(), parameter);
    const std::vector<float>& weight =
        trained.weights.at(EncoderLayerName(trained.layer) + "." + parameter.name);
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
  const Out values =
      parameters_.rounded_values() ? parameters_.rounded_values() : parameters_.values();
  const auto value = [&](const char* part) {
    return Parameters::Window(values, *parameters_.Find(name + part));
  };
  Buffer y = MakeRows();
  LinearForward(ctx_, y, x_, value(".weight"), value(".bias"));
  return y;
}

void AttentionModule::ForwardWithoutProjections(bool training) {
  if (!q_.view()) {
    q_ = Project("attention.self.query");
    k_ = Project("attention.self.key");
    v_ = Project("attention.self.value");
    o_ = MakeRows();
  }
  batch_.step.training = training;
  branch_->attention().Forward(ctx_, OfHeads(o_), Input(), batch_);
}

void AttentionModule::BackwardWithoutProjections() {
  if (!dq_.view()) {
    for (Buffer* rows : {&dq_, &dk_, &dv_}) *rows = MakeRows();
  }
  branch_->attention().Backward(ctx_, OfHeads(dq_), OfHeads(dk_), OfHeads(dv_), OfHeads(dy_),
                                Input(), OfHeads(o_), batch_);
}

TreeStatistics AttentionModule::ReadStatistics() {
  return branch_->attention().ReadStatistics(ctx_, batch_);
}

std::vector<Parameter> AttentionModule::TreeBiasParameters() const {
  std::vector<Parameter> biases;
  std::copy_if(parameters_.list().begin(), parameters_.list().end(), std::back_inserter(biases),
               [](const Parameter& p) { return p.role == Role::kTreeBias; });
  return biases;
}

std::vector<float> AttentionModule::TreeBiases() {
  std::vector<float> biases;
  for (const Parameter& parameter : TreeBiasParameters()) {
    const int64_t first = static_cast<int64_t>(biases.size());
    biases.resize(first + parameter.range.count());
    Copy(ctx_, View<float>(biases.data() + first, parameter.shape),
         Parameters::Window(parameters_.values(), parameter));
    ctx_.Synchronize();  // before `biases` grows
  }
  return biases;
}

void AttentionModule::SetTreeBiases(const std::vector<float>& biases) {
  const float* next = biases.data();
  for (const Parameter& parameter : TreeBiasParameters()) {
    Copy(ctx_, Parameters::Window(parameters_.values(), parameter),
         View<const float>(next, parameter.shape));
    parameters_.RoundValues(ctx_, parameter.range);
    next += parameter.range.count();
  }
  CHECK(next == biases.data() + biases.size()) << "biases of other trees";
}

int64_t AttentionModule::HeldBytes() {
  int64_t bytes = activations_.bytes() + ctx_.scratch().bytes();
  for (Out parameters :
       {parameters_.values(), parameters_.gradients(), parameters_.rounded_values()}) {
    if (parameters) bytes += parameters.bytes();
  }
  for (const Buffer* rows :
       {&x_, &y_, &dx_, &dy_, &document_, &q_, &k_, &v_, &o_, &dq_, &dk_, &dv_}) {
    bytes += rows->bytes();
  }
  return bytes;
}

std::vector<float> BalancedBiases(Context ctx, AttentionConfig attention, const ModuleSize& sample,
                                  double density) {
  attention.tree.balance = Balance::kBias;
  AttentionModule module(std::move(ctx), attention, sample);
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

}  // namespace treeformer::bench
