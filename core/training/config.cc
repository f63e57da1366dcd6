#include "core/training/config.h"

#include <cmath>

#include "kernels/base/user_error.h"
#include "kernels/tree/dense/soft_tree.h"

namespace treeformer {

namespace {

// Products of any two sizes, and sums of any steps, stay far from the end of int64.
constexpr int64_t kMaxWidth = 1 << 20;

TreeShape MakeTreeShape(const config::TreeAttention& tree) {
  const char* kForm = "either height (binary) or branching (k-ary), one of them";
  if ((tree.height() > 0) == (tree.branching_size() > 0)) {
    throw UserError(Sentence("bootstrap.attention gives height ", tree.height(), " and ",
                             tree.branching_size(), " values of branching; expected ", kForm));
  }
  if (tree.height() > 0) {
    RequireField(tree.height() <= 16, "bootstrap.attention.height", tree.height(), "1 to 16");
    return TreeShape::Binary(tree.height());
  }
  std::vector<int> branching;
  int64_t leaves = 1;
  for (int b : tree.branching()) {
    RequireField(b >= 2 && b <= 1024, "bootstrap.attention.branching", b,
                 "2 to 1024 children a node");
    branching.push_back(b);
    leaves *= b;
    RequireField(leaves <= 65536, "the number of leaves of bootstrap.attention.branching", leaves,
                 "up to 65536");
  }
  return TreeShape::Kary(branching);
}

TreeConfig MakeTreeConfig(const config::TreeAttention& tree, bool causal) {
  const bool tc = tree.kind() == config::TreeAttention::TC;
  TreeConfig config;
  config.gradient = tc ? TreeGradient::kDense : TreeGradient::kFlip;
  if (tree.has_gradient()) config.gradient = static_cast<TreeGradient>(tree.gradient());
  config.flip_choice = static_cast<FlipChoice>(tree.flip_choice());
  config.temperature = tree.temperature();
  config.dense = {static_cast<DenseTerms>(tree.dense_terms()), tree.dense_clamp(), causal};
  config.router_interval = tree.router_interval();
  config.balance = static_cast<Balance>(tree.balance());
  config.balance_weight = tree.balance_weight();
  config.fold_projections = tree.fold_projections();

  RequireField(config.temperature > 0, "bootstrap.attention.temperature", config.temperature,
               "> 0");
  RequireField(config.dense.clamp > 0, "bootstrap.attention.dense_clamp", config.dense.clamp,
               "> 0");
  RequireField(config.router_interval >= 1, "bootstrap.attention.router_interval",
               config.router_interval, "1 or more");
  RequireField(config.balance_weight >= 0, "bootstrap.attention.balance_weight",
               config.balance_weight, "0 or more");
  const bool kary = tree.branching_size() > 0;
  RequireField(!kary || config.gradient != TreeGradient::kDense, "bootstrap.attention.gradient",
               "DENSE",
               "FLIP or NONE with k-ary trees (dense tree gradients are defined for binary trees)");
  RequireField(!kary || config.balance != Balance::kLoss, "bootstrap.attention.balance", "LOSS",
               "BIAS or NO_BALANCE with k-ary trees");
  RequireField(tc || !config.fold_projections, "bootstrap.attention.fold_projections", "true",
               "only with kind: TC");
  return config;
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
  AttentionConfig full;
  full.causal = model.causal();
  config.attention.assign(config.layers, full);
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
  const bool tc = bootstrap.attention().kind() == config::TreeAttention::TC;
  RequireField(!(tc && causal), "bootstrap.attention.kind", "TC", "TF with model.causal: true");
  config.attention.kind = tc ? AttentionKind::kTc : AttentionKind::kTf;
  config.attention.shape = MakeTreeShape(bootstrap.attention());
  config.attention.tree = MakeTreeConfig(bootstrap.attention(), causal);
  config.attention.causal = causal;
  const config::TreeAttention& trees = bootstrap.attention();
  const float dropout =
      trees.has_attention_dropout() ? trees.attention_dropout() : model.attention_dropout;
  RequireField(dropout >= 0 && dropout < 1, "bootstrap.attention.attention_dropout", dropout,
               "from 0 to below 1");
  RequireField(
      !tc || dropout == 0,
      trees.has_attention_dropout() ? "bootstrap.attention.attention_dropout"
                                    : "model.attention_dropout",
      dropout,
      "0 with bootstrap.attention.kind: TC, which has no attention probabilities; "
      "bootstrap.attention.attention_dropout: 0 says so and leaves full attention its own");
  config.attention.dropout = dropout;
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
                 "bootstrap.attention.height", attention.shape.height(),
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
