#include "core/attention/registry.h"

#include <algorithm>

#include "core/attention/attention.pb.h"
#include "core/attention/sliding_window_attention.h"
#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

constexpr const AttentionKind* kAttentions[] = {
    &kFullAttention,
    &kTfAttention,
    &kTcAttention,
    &kSlidingWindowAttention,
};

const AttentionKind& KindOf(const config::Attention& attention) {
  const std::string& name = config::Attention::Kind_Name(attention.kind());
  const auto named = [&](const AttentionKind* kind) { return kind->name == name; };
  const auto row = std::find_if(std::begin(kAttentions), std::end(kAttentions), named);
  CHECK(row != std::end(kAttentions)) << name << " is no attention of registry.cc";
  return **row;
}

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::span<const AttentionKind* const> AttentionKinds() { return kAttentions; }

AttentionConfig MakeAttentionConfig(const config::Attention& attention,
                                    const AttentionField& field) {
  const AttentionKind& kind = KindOf(attention);
  AttentionConfig config = kind.validate(attention, field);
  config.kind = &kind;
  config.causal = field.causal;
  return config;
}

std::unique_ptr<Attention> MakeAttention(const LayerBuilder& builder, int64_t layer,
                                         const std::string& name) {
  return builder.config.attention.at(layer).kind->make(builder.OfLayer(layer), layer, name);
}

AttentionCost CostOfAttention(const ModelConfig& model, int64_t layer, double n,
                              std::optional<double> density) {
  const AttentionConfig& attention = model.attention.at(layer);
  return attention.kind->cost(model, attention, n, density);
}

void RequireNumbers(const config::Attention& attention, const AttentionField& field,
                    const std::vector<std::string>& allowed) {
  std::vector<const google::protobuf::FieldDescriptor*> given;
  config::Attention::GetReflection()->ListFields(attention, &given);
  for (const auto* number : given) {
    if (number->name() == "kind") continue;
    if (std::find(allowed.begin(), allowed.end(), number->name()) != allowed.end()) continue;
    const std::string& kind = config::Attention::Kind_Name(attention.kind());
    throw UserError(Sentence(field.name, ".", number->name(), " is given with kind: ", kind,
                             "; allowed with it: ", Join(allowed)));
  }
}

float AttentionDropout(const config::Attention& attention, const AttentionField& field) {
  if (!attention.has_attention_dropout()) return field.dropout;
  const float dropout = attention.attention_dropout();
  RequireField(dropout >= 0 && dropout < 1, field.name + ".attention_dropout", dropout,
               "from 0 to below 1");
  return dropout;
}

}  // namespace treeformer
