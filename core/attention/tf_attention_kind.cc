#include "core/attention/attention.pb.h"
#include "core/attention/tf_attention_layer.h"
#include "core/attention/tree_kind.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

AttentionConfig Validate(const config::Attention& attention, const AttentionField& field) {
  AttentionConfig config = ReadTrees(attention, field, TreeGradient::kFlip);
  RequireField(!attention.fold_projections(), field.name + ".fold_projections", "true",
               "only with kind: TC");
  config.dropout = AttentionDropout(attention, field);
  return config;
}

std::unique_ptr<Attention> Make(const LayerBuilder& builder, int64_t layer,
                                const std::string& name) {
  return std::make_unique<TfAttention>(builder, layer, name);
}

// The cost of the estimator of the routing's gradient (core/attention/README.md, 3).
double RouterFlops(const TreeConfig& tree, double all_pairs, double density) {
  switch (tree.gradient) {
    case TreeGradient::kFlip:
      return 2 * all_pairs * density;
    case TreeGradient::kDense:
      return all_pairs / tree.router_interval;
    case TreeGradient::kNone:
      return 0;
  }
  return 0;
}

AttentionCost Cost(const ModelConfig& model, const AttentionConfig& attention, double n,
                   std::optional<double> measured) {
  const double density = measured.value_or(1 / static_cast<double>(attention.shape.leaves()));
  const double all_pairs = 4 * n * n * static_cast<double>(model.width);
  return {.parameters = CountTreeParameters(model, attention),
          .density = density,
          .routing = RoutingFlops(model, attention, n),
          .pairs = all_pairs * density,
          .router = RouterFlops(attention.tree, all_pairs, density)};
}

}  // namespace

const AttentionKind kTfAttention{.name = "TF",
                                 .label = "TF",
                                 .has_pairs = true,
                                 .benchmark = nullptr,
                                 .validate = Validate,
                                 .make = Make,
                                 .cost = Cost};

}  // namespace treeformer
