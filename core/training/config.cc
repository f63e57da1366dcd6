#include "core/training/config.h"

#include <cmath>

#include "core/attention/registry.h"
#include "kernels/base/user_error.h"
#include "kernels/tree/dense/soft_tree.h"

namespace treeformer {

namespace {

// Products of any two sizes, and sums of any steps, stay far from the end of int64.
constexpr int64_t kMaxWidth = 1 << 20;

std::string KindNames() {
  std::string names;
  for (const AttentionKind* kind : AttentionKinds()) {
    names += (names.empty() ? "" : ", ") + std::string(kind->name);
  }
  return names;
}

// What model.attention and model.layer_attention say, for each layer.
std::vector<AttentionConfig> MakeLayerAttention(const config::Model& model) {
  AttentionField field{"model.attention", model.attention_dropout(), model.causal()};
  AttentionConfig every;
  every.causal = model.causal();
  const auto make = [&](const config::Attention& attention) {
    RequireField(attention.has_kind(), field.name + ".kind", "missing", KindNames());
    return MakeAttentionConfig(attention, field);
  };
  if (model.has_attention()) every = make(model.attention());
  std::vector<AttentionConfig> layers(model.layers(), every);
  std::vector<bool> given(model.layers(), false);
  for (const config::LayerAttention& some : model.layer_attention()) {
    const std::string path = Sentence("model.layer_attention of layer ", some.first_layer());
    const int first = some.first_layer();
    const int last = some.has_last_layer() ? some.last_layer() : first;
    RequireField(first >= 1 && first <= model.layers(), "model.layer_attention.first_layer", first,
                 Sentence("1 to model.layers = ", model.layers()));
    RequireField(last >= first && last <= model.layers(), path + ": last_layer", last,
                 Sentence("first_layer to model.layers = ", model.layers()));
    field.name = path + ": attention";
    const AttentionConfig attention = make(some.attention());
    for (int layer = first; layer <= last; ++layer) {
      RequireField(!given[layer - 1], Sentence("model.layer_attention of layer ", layer),
                   "given twice", "once for each layer");
      given[layer - 1] = true;
      layers[layer - 1] = attention;
    }
  }
  return layers;
}

}  // namespace

ModelConfig MakeModelConfig(const config::Model& model, int64_t vocabulary,
                            int64_t sequence_length) {
  ModelConfig config;
  config.layers = model.layers();
  config.width = model.width();
  config.heads = model.heads();
  config.feed_forward = model.feed_forward() > 0 ? model.feed_forward() : 4 * config.width;
  config.vocabulary = vocabulary;
  config.max_positions = model.max_positions() > 0 ? model.max_positions() : sequence_length;
  config.dropout = model.dropout();
  config.attention_dropout = model.attention_dropout();
  config.layer_norm_epsilon = model.layer_norm_epsilon();
  config.initial_deviation = model.initial_deviation();
  config.pre_norm = model.pre_norm();
  config.sinusoidal_positions = model.sinusoidal_positions();

  RequireField(config.layers >= 1 && config.layers <= 10000, "model.layers", config.layers,
               "1 to 10000");
  RequireField(config.width >= 1 && config.width <= kMaxWidth, "model.width", config.width,
               Sentence("1 to ", kMaxWidth));
  RequireField(config.heads >= 1 && config.width % config.heads == 0, "model.heads", config.heads,
               "a divisor of model.width");
  RequireField(model.feed_forward() >= 0 && model.feed_forward() <= 4 * kMaxWidth,
               "model.feed_forward", model.feed_forward(),
               Sentence("0 (4 x width) to ", 4 * kMaxWidth));
  RequireField(config.max_positions >= sequence_length, "model.max_positions", config.max_positions,
               "0 (the sequence length), or no less than the sequence length");
  for (const auto& [field, rate] : {std::pair{"model.dropout", config.dropout},
                                    {"model.attention_dropout", config.attention_dropout}}) {
    RequireField(rate >= 0 && rate < 1, field, rate, "from 0 to below 1");
  }
  RequireField(config.layer_norm_epsilon > 0, "model.layer_norm_epsilon", config.layer_norm_epsilon,
               "> 0");
  RequireField(config.initial_deviation > 0, "model.initial_deviation", config.initial_deviation,
               "> 0");
  RequireField(!model.causal(), "model.causal", "true",
               "false: the objective, masked-LM, predicts a token from both sides of it");
  config.attention = MakeLayerAttention(model);
  return config;
}

BootstrapConfig MakeBootstrapConfig(const config::Bootstrap& bootstrap, const ModelConfig& model) {
  BootstrapConfig config;
  config.full_steps = bootstrap.full_steps();
  config.tree_steps = bootstrap.tree_steps();
  config.final_steps = bootstrap.final_steps();
  config.tree_layers = bootstrap.tree_layers();
  config.layer_width = bootstrap.layer_width();
  config.start_height = bootstrap.start_height();
  config.regrow = bootstrap.regrow();
  for (const auto& [field, steps] : {std::pair{"bootstrap.full_steps", config.full_steps},
                                     {"bootstrap.tree_steps", config.tree_steps},
                                     {"bootstrap.final_steps", config.final_steps}}) {
    constexpr int64_t kMaxSteps = 1'000'000'000'000'000;
    RequireField(steps >= 0 && steps <= kMaxSteps, field, steps, Sentence("0 to ", kMaxSteps));
  }
  if (config.tree_steps == 0) return config;
  if (!bootstrap.has_attention()) {
    throw UserError(
        Sentence("bootstrap.tree_steps is ", config.tree_steps,
                 " but bootstrap.attention is missing; expected the form of the trees"));
  }
  const bool causal = !model.attention.empty() && model.attention[0].causal;
  config.attention = MakeAttentionConfig(bootstrap.attention(),
                                         {"bootstrap.attention", model.attention_dropout, causal});
  RequireField(config.attention.HasTrees(), "bootstrap.attention.kind", config.attention.kind->name,
               "TF or TC, which have trees that can grow");
  return config;
}

void RequireGpuKernels(const ModelConfig& model) {
  const int64_t e = model.head_width();
  RequireField(e == 32 || e == 64 || e == 96 || e == 128, "model.width / model.heads", e,
               "32, 64, 96 or 128 on a GPU");
  for (const AttentionConfig& attention : model.attention) {
    const bool soft =
        attention.tree.gradient == TreeGradient::kDense || attention.tree.balance == Balance::kLoss;
    RequireField(!soft || attention.shape.height() <= kSoftTreeMaxGpuHeight,
                 "the height of an attention's trees", attention.shape.height(),
                 Sentence("1 to ", kSoftTreeMaxGpuHeight,
                          " on a GPU with gradient: DENSE or balance: LOSS"));
  }
}

OptimizerConfig MakeOptimizerConfig(const config::Optimizer& optimizer) {
  OptimizerConfig config;
  config.learning_rate = optimizer.learning_rate();
  config.beta1 = optimizer.beta1();
  config.beta2 = optimizer.beta2();
  config.epsilon = optimizer.epsilon();
  config.weight_decay = optimizer.weight_decay();
  config.clip_norm = optimizer.clip_norm();
  config.warmup_steps = optimizer.warmup_steps();
  config.final_rate = optimizer.final_rate();
  config.restart_each_stage = optimizer.schedule_scope() == config::Optimizer::STAGE;

  RequireField(config.learning_rate > 0 && std::isfinite(config.learning_rate),
               "optimizer.learning_rate", config.learning_rate, "> 0");
  for (const auto& [field, beta] :
       {std::pair{"optimizer.beta1", config.beta1}, {"optimizer.beta2", config.beta2}}) {
    RequireField(beta >= 0 && beta < 1, field, beta, "from 0 to below 1");
  }
  RequireField(config.epsilon > 0, "optimizer.epsilon", config.epsilon, "> 0");
  RequireField(config.weight_decay >= 0, "optimizer.weight_decay", config.weight_decay,
               "0 or more");
  RequireField(config.clip_norm >= 0, "optimizer.clip_norm", config.clip_norm, "0 (off) or more");
  RequireField(config.warmup_steps >= 0, "optimizer.warmup_steps", config.warmup_steps,
               "0 or more");
  RequireField(config.final_rate >= 0 && config.final_rate <= 1, "optimizer.final_rate",
               config.final_rate, "from 0 to 1");
  return config;
}

}  // namespace treeformer
