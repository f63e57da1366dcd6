#include <cmath>

#include "core/attention/attention.pb.h"
#include "core/attention/tc_attention_layer.h"
#include "core/attention/tree_kind.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

AttentionConfig Validate(const config::Attention& attention, const AttentionField& field) {
  RequireField(!field.causal, field.name + ".kind", "TC", "TF with model.causal: true");
  AttentionConfig config = ReadTrees(attention, field, TreeGradient::kDense);
  config.tree.fold_projections = attention.fold_projections();
  const std::string own_rate = field.name + ".attention_dropout";
  const float dropout = AttentionDropout(attention, field);
  RequireField(dropout == 0,
               attention.has_attention_dropout() ? own_rate : "model.attention_dropout", dropout,
               Sentence("0 with ", field.name, ".kind: TC, which has no attention probabilities; ",
                        own_rate, ": 0 says so and leaves full attention its own"));
  config.dropout = dropout;
  return config;
}

std::unique_ptr<Attention> Make(const LayerBuilder& builder, int64_t layer,
                                const std::string& name) {
  return std::make_unique<TcAttention>(builder, layer, name);
}

AttentionCost Cost(const ModelConfig& model, const AttentionConfig& attention, double n,
                   std::optional<double>) {
  const double d = static_cast<double>(model.width);
  const double nodes = static_cast<double>(attention.shape.total_nodes());
  const double effects = 2 * 2 * n * d * nodes;  // of all nodes on the loss, both sides
  const TreeGradient gradient = attention.tree.gradient;
  const double steps = gradient == TreeGradient::kDense ? attention.tree.router_interval : 1;
  const int64_t alpha = model.heads * (attention.shape.height() + 1);
  return {.parameters = CountTreeParameters(model, attention) + alpha,
          .density = std::nan(""),
          .routing = RoutingFlops(model, attention, n),
          .tables = 2 * d * (n + nodes),
          .router = gradient == TreeGradient::kNone ? 0 : effects / steps};
}

}  // namespace

const AttentionKind kTcAttention{.name = "TC",
                                 .label = "TC",
                                 .has_pairs = false,
                                 .benchmark = nullptr,
                                 .validate = Validate,
                                 .make = Make,
                                 .cost = Cost};

}  // namespace treeformer
