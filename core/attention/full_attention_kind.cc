// FULL: every query attends to every key.  It is TF with one leaf.

#include "core/attention/attention.pb.h"
#include "core/attention/registry.h"
#include "core/attention/tf_attention_layer.h"

namespace treeformer {

namespace {

AttentionConfig Validate(const config::Attention& attention, const AttentionField& field) {
  RequireNumbers(attention, field, {"attention_dropout"});
  AttentionConfig config;
  config.dropout = AttentionDropout(attention, field);
  return config;
}

std::unique_ptr<Attention> Make(const LayerBuilder& builder, int64_t layer,
                                const std::string& name) {
  return std::make_unique<TfAttention>(builder, layer, name);
}

AttentionCost Cost(const ModelConfig& model, const AttentionConfig&, double n,
                   std::optional<double>) {
  return {.pairs = 4 * n * n * static_cast<double>(model.width)};
}

}  // namespace

const AttentionKind kFullAttention{.name = "FULL",
                                   .label = "full",
                                   .has_pairs = true,
                                   .benchmark = "",
                                   .validate = Validate,
                                   .make = Make,
                                   .cost = Cost};

}  // namespace treeformer
