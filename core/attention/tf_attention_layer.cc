#include "core/attention/tf_attention_layer.h"

#include "kernels/tree/dense/dense_effects.h"

namespace treeformer {

namespace {

// FULL is TF with one leaf, and nothing to learn.
AttentionConfig Normalised(AttentionConfig config) {
  if (config.shape.height() == 0) {
    config.tree.gradient = TreeGradient::kNone;
    config.tree.balance = Balance::kNone;
  }
  config.tree.dense.causal = config.causal;
  return config;
}

}  // namespace

TfAttention::TfAttention(const LayerBuilder& builder, int64_t layer, const std::string& name)
    : config_(Normalised(builder.config.attention.at(layer))),
      layer_(layer),
      dropout_(config_.dropout.value_or(builder.config.attention_dropout)),
      tree_(builder, name + ".tree", config_.shape, builder.config.head_width()),
      queries_(&tree_, config_.tree, layer, RandomPlace::kQueryFlip),
      keys_(&tree_, config_.tree, layer, RandomPlace::kKeyFlip) {
  CHECK(config_.tree.gradient != TreeGradient::kDense || config_.shape.binary)
      << name << ": the dense gradient needs a binary tree";
  CHECK(config_.tree.balance != Balance::kLoss || config_.shape.binary)
      << name << ": the balance loss needs a binary tree";
}

void TfAttention::Bind(const LayerMemory& memory) {
  const int64_t B = memory.shape.sequences, H = tree_.heads();
  const int64_t n = memory.shape.length, m = memory.shape.keys();
  CHECK(n == m || !config_.HasTrees()) << "trees are of one sequence";
  queries_.Bind(memory, n);
  keys_.Bind(memory, m);
  query_order_ = memory.activations.MakeInts({B, H, n});
  key_order_ = memory.activations.MakeInts({B, H, m});
  key_range_ = memory.activations.MakeInts({B, H, n, 2});
  query_range_ = memory.activations.MakeInts({B, H, m, 2});
  lse_ = memory.activations.MakeStatistics({B, H, n});
}

TfOperands TfAttention::Operands(const AttentionInput& x, const MicroBatch& batch) const {
  const int64_t pairs = query_order_.count() / query_order_.shape()[0] * key_order_.shape()[2];
  const Dropout dropout = MakeDropout(dropout_, batch, layer_, RandomPlace::kProbabilities, pairs);
  return {x.queries.rows, x.keys.rows, x.values, buckets(), {config_.causal, dropout}};
}

void TfAttention::Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) {
  const int64_t leaves = config_.shape.leaves();
  queries_.Forward(ctx, x.queries, batch);
  keys_.Forward(ctx, x.keys, batch);
  const RowsByLeaf queries{query_order_, queries_.leaf(), x.queries.document};
  const RowsByLeaf keys{key_order_, keys_.leaf(), x.keys.document};
  SortByLeaf(ctx, query_order_, queries.leaf, queries.document, leaves);
  SortByLeaf(ctx, key_order_, keys.leaf, keys.document, leaves);
  MatchRanges(ctx, key_range_, queries, keys);
  if (batch.step.training) MatchRanges(ctx, query_range_, keys, queries);
  TfForward(ctx, o, lse_, Operands(x, batch));
}

void TfAttention::Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x,
                           In o, const MicroBatch& batch) {
  const TreeConfig& tree = config_.tree;
  Scratch::Scope scope(ctx.scratch());
  const Out delta = scope.Take(lse_.dtype(), lse_.shape());
  const Out key_effect =
      tree.gradient == TreeGradient::kFlip ? scope.Take(lse_.dtype(), lse_.shape()) : Out();
  TfBackward(ctx, {dq, dk, dv, delta, key_effect}, d_o, o, lse_, Operands(x, batch));
  if (tree.gradient == TreeGradient::kFlip) {
    FlipTree(ctx, dq, dk, d_o, x, delta, key_effect);
  } else if (config_.RunsDense(batch.step.step)) {
    DenseTree(ctx, dq, dk, d_o, x, delta);
  }
  queries_.BalanceBackward(ctx, dq, x.queries.rows, batch);
  keys_.BalanceBackward(ctx, dk, x.keys.rows, batch);
}

void TfAttention::FlipTree(Context& ctx, Acc dq, Acc dk, In d_o, const AttentionInput& x, In delta,
                           In key_effect) {
  const int64_t leaves = config_.shape.leaves();
  Scratch::Scope scope(ctx.scratch());
  const auto order = [&] { return scope.Take<int32_t>(query_order_.shape()); };
  const auto range = [&] { return scope.Take<int32_t>(key_range_.shape()); };
  const View<int32_t> query_order = order(), key_order = order();
  const View<int32_t> key_range = range(), query_range = range();
  const Ids query_document = x.queries.document, key_document = x.keys.document;
  SortByLeaf(ctx, query_order, queries_.alternative(), query_document, leaves);
  MatchRanges(ctx, key_range, {query_order, queries_.alternative(), query_document},
              {key_order_, keys_.leaf(), key_document});
  SortByLeaf(ctx, key_order, keys_.alternative(), key_document, leaves);
  MatchRanges(ctx, query_range, {key_order, keys_.alternative(), key_document},
              {query_order_, queries_.leaf(), query_document});
  const Out query_gain = scope.Take(lse_.dtype(), lse_.shape());
  const Out key_gain = scope.Take(lse_.dtype(), lse_.shape());
  FlipGains(ctx, query_gain, key_gain,
            {.d_o = d_o,
             .q = x.queries.rows,
             .k = x.keys.rows,
             .v = x.values,
             .lse = lse_,
             .delta = delta,
             .key_effect = key_effect,
             .query_probe = {query_order, key_order_, key_range, query_range_},
             .key_probe = {query_order_, key_order, key_range_, query_range},
             .causal = config_.causal});
  queries_.FlipBackward(ctx, dq, x.queries.rows, query_gain);
  keys_.FlipBackward(ctx, dk, x.keys.rows, key_gain);
}

void TfAttention::DenseTree(Context& ctx, Acc dq, Acc dk, In d_o, const AttentionInput& x,
                            In delta) {
  const Shape effects{lse_.shape()[0], lse_.shape()[1], lse_.shape()[2], config_.shape.leaves()};
  Scratch::Scope scope(ctx.scratch());
  const Out query_effect = scope.Take(lse_.dtype(), effects);
  const Out key_effect = scope.Take(lse_.dtype(), effects);
  DenseLeafEffects(ctx, query_effect, key_effect,
                   {.d_o = d_o,
                    .q = x.queries.rows,
                    .k = x.keys.rows,
                    .v = x.values,
                    .lse = lse_,
                    .delta = delta,
                    .query_leaf = queries_.leaf(),
                    .key_leaf = keys_.leaf(),
                    .document = x.queries.document,
                    .options = config_.tree.dense});
  queries_.DenseBackward(ctx, dq, x.queries.rows, query_effect);
  keys_.DenseBackward(ctx, dk, x.keys.rows, key_effect);
}

TreeStatistics TfAttention::ReadStatistics(Context& ctx, const MicroBatch& batch) const {
  if (config_.shape.height() == 0) return {};
  return ReadTreeStatistics(ctx, queries_, keys_, batch.document, config_.shape.leaves());
}

std::vector<Tree*> TfAttention::trees() {
  if (config_.shape.height() == 0) return {};
  return {&tree_};
}

}  // namespace treeformer
