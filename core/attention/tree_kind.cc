#include "core/attention/tree_kind.h"

#include "core/attention/attention.pb.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

TreeShape MakeTreeShape(const config::Attention& tree, const std::string& field) {
  const char* kForm = "either height (binary) or branching (k-ary), one of them";
  if ((tree.height() > 0) == (tree.branching_size() > 0)) {
    throw UserError(Sentence(field, " gives height ", tree.height(), " and ", tree.branching_size(),
                             " values of branching; expected ", kForm));
  }
  if (tree.height() > 0) {
    RequireField(tree.height() <= 16, field + ".height", tree.height(), "1 to 16");
    return TreeShape::Binary(tree.height());
  }
  std::vector<int> branching;
  int64_t leaves = 1;
  for (int b : tree.branching()) {
    RequireField(b >= 2 && b <= 1024, field + ".branching", b, "2 to 1024 children a node");
    branching.push_back(b);
    leaves *= b;
    RequireField(leaves <= 65536, "the number of leaves of " + field + ".branching", leaves,
                 "up to 65536");
  }
  return TreeShape::Kary(branching);
}

void Validate(const TreeConfig& config, bool kary, const std::string& field) {
  RequireField(config.temperature > 0, field + ".temperature", config.temperature, "> 0");
  RequireField(config.dense.clamp > 0, field + ".dense_clamp", config.dense.clamp, "> 0");
  RequireField(config.router_interval >= 1, field + ".router_interval", config.router_interval,
               "1 or more");
  RequireField(config.balance_weight >= 0, field + ".balance_weight", config.balance_weight,
               "0 or more");
  RequireField(!kary || config.gradient != TreeGradient::kDense, field + ".gradient", "DENSE",
               "FLIP or NONE with k-ary trees (dense tree gradients are defined for binary trees)");
  RequireField(!kary || config.balance != Balance::kLoss, field + ".balance", "LOSS",
               "BIAS or NO_BALANCE with k-ary trees");
}

}  // namespace

AttentionConfig ReadTrees(const config::Attention& attention, const AttentionField& field,
                          TreeGradient gradient) {
  AttentionConfig config;
  config.shape = MakeTreeShape(attention, field.name);
  TreeConfig& tree = config.tree;
  tree.gradient = gradient;
  if (attention.has_gradient()) tree.gradient = static_cast<TreeGradient>(attention.gradient());
  tree.flip_choice = static_cast<FlipChoice>(attention.flip_choice());
  tree.temperature = attention.temperature();
  tree.dense = {static_cast<DenseTerms>(attention.dense_terms()), attention.dense_clamp(),
                field.causal};
  tree.router_interval = attention.router_interval();
  tree.balance = static_cast<Balance>(attention.balance());
  tree.balance_weight = attention.balance_weight();
  Validate(tree, !config.shape.binary, field.name);
  return config;
}

int64_t CountTreeParameters(const ModelConfig& model, const AttentionConfig& attention) {
  const int64_t planes = model.heads * attention.shape.planes();
  if (attention.tree.fold_projections) return 2 * planes * (model.width + 1);
  return planes * (model.head_width() + 1);
}

double RoutingFlops(const ModelConfig& model, const AttentionConfig& attention, double n) {
  const double d = static_cast<double>(model.width);
  const double planes = static_cast<double>(attention.shape.planes_on_path());
  const double heads = attention.tree.fold_projections ? static_cast<double>(model.heads) : 1;
  return 4 * n * d * heads * planes;
}

}  // namespace treeformer
