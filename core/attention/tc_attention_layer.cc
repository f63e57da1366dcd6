#include "core/attention/tc_attention_layer.h"

#include <numeric>

namespace treeformer {

namespace {

Tree MakeTree(const LayerBuilder& builder, const AttentionConfig& config, const std::string& name) {
  return Tree(builder, name, config.shape,
              config.tree.fold_projections ? builder.config.width : builder.config.head_width());
}

// Alpha has one entry for each level of nodes, the root's and the leaves' included.
std::vector<int64_t> LevelsOfAlpha(const TreeShape& shape) {
  std::vector<int64_t> ends(shape.height() + 1);
  std::iota(ends.begin(), ends.end(), 1);
  return ends;
}

}  // namespace

TcAttention::TcAttention(const LayerBuilder& builder, int64_t layer, const std::string& name)
    : config_(builder.config.attention.at(layer)),
      parameters_(&builder.parameters),
      query_tree_(MakeTree(builder, config_,
                           name + (config_.tree.fold_projections ? ".query_tree" : ".tree"))),
      key_tree_(config_.tree.fold_projections
                    ? std::optional<Tree>(MakeTree(builder, config_, name + ".key_tree"))
                    : std::nullopt),
      alpha_(parameters_->Declare(name + ".tree.alpha",
                                  {builder.config.heads, config_.shape.height() + 1},
                                  Initializer::Constant(1.0f / (config_.shape.height() + 1)),
                                  Role::kMixture, layer, LevelsOfAlpha(config_.shape))),
      queries_(&query_tree_, config_.tree, layer, RandomPlace::kQueryFlip),
      keys_(key_tree_ ? &*key_tree_ : &query_tree_, config_.tree, layer, RandomPlace::kKeyFlip) {
  CHECK(!config_.causal) << name << ": TC-Attention has no causal mode";
  CHECK(config_.tree.gradient != TreeGradient::kDense || config_.shape.binary)
      << name << ": the dense gradient needs a binary tree";
  CHECK(config_.tree.balance != Balance::kLoss || config_.shape.binary)
      << name << ": the balance loss needs a binary tree";
}

void TcAttention::Bind(const LayerMemory& memory) {
  queries_.Bind(memory, memory.shape.length);
  keys_.Bind(memory, memory.shape.length);
}

TcOperands TcAttention::Operands(const AttentionInput& x) const {
  return {.v = x.values,
          .alpha = parameters_->exact_value(alpha_),
          .query_leaf = queries_.leaf(),
          .key_leaf = keys_.leaf(),
          .document = x.keys.document,
          .shape = config_.shape};
}

void TcAttention::Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) {
  CHECK(x.queries.document.data() == x.keys.document.data())
      << "TC-Attention reads the sequence that asks";
  queries_.Forward(ctx, x.queries, batch);
  keys_.Forward(ctx, x.keys, batch);
  TcForward(ctx, o, Operands(x));
}

void TcAttention::Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x,
                           In, const MicroBatch& batch) {
  const Shape rows = queries_.leaf().shape();
  const Shape effects{rows[0], rows[1], rows[2], config_.shape.leaves()};
  const bool flip = config_.shape.height() > 0 && config_.tree.gradient == TreeGradient::kFlip;
  const bool learns = flip || config_.RunsDense(batch.step.step);
  Scratch::Scope scope(ctx.scratch());
  const Out query_effect = learns ? scope.Take(StatisticsType(x.values.dtype()), effects) : Out();
  const Out key_effect = learns ? scope.Take(StatisticsType(x.values.dtype()), effects) : Out();
  TcBackward(ctx, {dv, parameters_->gradient(alpha_), query_effect, key_effect}, d_o, Operands(x));
  Zero(ctx, dq);  // only the routing reads q and k
  Zero(ctx, dk);
  RouteBackward(ctx, queries_, dq, x.queries.rows, query_effect, batch);
  RouteBackward(ctx, keys_, dk, x.keys.rows, key_effect, batch);
}

// `effect` null: this step teaches the tree nothing but balance.
void TcAttention::RouteBackward(Context& ctx, TreeRouting& side, Acc dx, In x, In effect,
                                const MicroBatch& batch) {
  Scratch::Scope scope(ctx.scratch());
  if (effect && config_.tree.gradient == TreeGradient::kDense) {
    side.DenseBackward(ctx, dx, x, effect);
  } else if (effect) {
    const Out gain = scope.Take(effect.dtype(), side.leaf().shape());
    GainFromEffects(ctx, gain, effect, side.leaf(), side.alternative());
    side.FlipBackward(ctx, dx, x, gain);
  }
  side.BalanceBackward(ctx, dx, x, batch);
}

TreeStatistics TcAttention::ReadStatistics(Context& ctx, const MicroBatch& batch) const {
  if (config_.shape.height() == 0) return {};
  return ReadTreeStatistics(ctx, queries_, keys_, batch.document, config_.shape.leaves());
}

std::vector<Tree*> TcAttention::trees() {
  if (config_.shape.height() == 0) return {};
  if (key_tree_) return {&query_tree_, &*key_tree_};
  return {&query_tree_};
}

}  // namespace treeformer
