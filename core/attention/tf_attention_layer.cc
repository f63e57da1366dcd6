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
  queries_.Bind(memory);
  keys_.Bind(memory);
  const int64_t B = memory.shape.sequences, H = tree_.heads(), n = memory.shape.length;
  query_order_ = memory.activations.MakeInts({B, H, n});
  key_order_ = memory.activations.MakeInts({B, H, n});
  key_range_ = memory.activations.MakeInts({B, H, n, 2});
  query_range_ = memory.activations.MakeInts({B, H, n, 2});
  lse_ = memory.activations.MakeStatistics({B, H, n});
}

AttentionOptions TfAttention::Options(const MicroBatch& batch) const {
  const int64_t H = lse_.shape()[1], n = lse_.shape()[2];
  return {config_.causal,
          MakeDropout(dropout_, batch, layer_, RandomPlace::kProbabilities, H * n * n)};
}

void TfAttention::Forward(Context& ctx, Out o, In q, In k, In v, const MicroBatch& batch) {
  const int64_t leaves = config_.shape.leaves();
  queries_.Forward(ctx, q, batch);
  keys_.Forward(ctx, k, batch);
  SortByLeaf(ctx, query_order_, queries_.leaf(), batch.document, leaves);
  SortByLeaf(ctx, key_order_, keys_.leaf(), batch.document, leaves);
  const RowsByLeaf queries{query_order_, queries_.leaf()}, keys{key_order_, keys_.leaf()};
  MatchRanges(ctx, key_range_, queries, keys, batch.document);
  if (batch.step.training) MatchRanges(ctx, query_range_, keys, queries, batch.document);
  TfForward(ctx, o, lse_, {q, k, v, buckets(), Options(batch)});
}

void TfAttention::Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, In q, In k, In v, In o,
                           const MicroBatch& batch) {
  const TreeConfig& tree = config_.tree;
  Scratch::Scope scope(ctx.scratch());
  const Out delta = scope.Take(lse_.dtype(), lse_.shape());
  const Out key_effect =
      tree.gradient == TreeGradient::kFlip ? scope.Take(lse_.dtype(), lse_.shape()) : Out();
  TfBackward(ctx, {dq, dk, dv, delta, key_effect}, d_o, o, lse_,
             {q, k, v, buckets(), Options(batch)});
  if (tree.gradient == TreeGradient::kFlip) {
    FlipTree(ctx, dq, dk, d_o, q, k, v, delta, key_effect, batch);
  } else if (config_.RunsDense(batch.step.step)) {
    DenseTree(ctx, dq, dk, d_o, q, k, v, delta, batch);
  }
  queries_.BalanceBackward(ctx, dq, q, batch);
  keys_.BalanceBackward(ctx, dk, k, batch);
}

void TfAttention::FlipTree(Context& ctx, Acc dq, Acc dk, In d_o, In q, In k, In v, In delta,
                           In key_effect, const MicroBatch& batch) {
  const int64_t leaves = config_.shape.leaves();
  Scratch::Scope scope(ctx.scratch());
  const auto order = [&] { return scope.Take<int32_t>(query_order_.shape()); };
  const auto range = [&] { return scope.Take<int32_t>(key_range_.shape()); };
  const View<int32_t> query_order = order(), key_order = order();
  const View<int32_t> key_range = range(), query_range = range();
  SortByLeaf(ctx, query_order, queries_.alternative(), batch.document, leaves);
  MatchRanges(ctx, key_range, {query_order, queries_.alternative()}, {key_order_, keys_.leaf()},
              batch.document);
  SortByLeaf(ctx, key_order, keys_.alternative(), batch.document, leaves);
  MatchRanges(ctx, query_range, {key_order, keys_.alternative()}, {query_order_, queries_.leaf()},
              batch.document);
  const Out query_gain = scope.Take(lse_.dtype(), lse_.shape());
  const Out key_gain = scope.Take(lse_.dtype(), lse_.shape());
  FlipGains(ctx, query_gain, key_gain,
            {.d_o = d_o,
             .q = q,
             .k = k,
             .v = v,
             .lse = lse_,
             .delta = delta,
             .key_effect = key_effect,
             .query_probe = {query_order, key_order_, key_range, query_range_},
             .key_probe = {query_order_, key_order, key_range_, query_range},
             .causal = config_.causal});
  queries_.FlipBackward(ctx, dq, q, query_gain);
  keys_.FlipBackward(ctx, dk, k, key_gain);
}

void TfAttention::DenseTree(Context& ctx, Acc dq, Acc dk, In d_o, In q, In k, In v, In delta,
                            const MicroBatch& batch) {
  const Shape effects{lse_.shape()[0], lse_.shape()[1], lse_.shape()[2], config_.shape.leaves()};
  Scratch::Scope scope(ctx.scratch());
  const Out query_effect = scope.Take(lse_.dtype(), effects);
  const Out key_effect = scope.Take(lse_.dtype(), effects);
  DenseLeafEffects(ctx, query_effect, key_effect,
                   {.d_o = d_o,
                    .q = q,
                    .k = k,
                    .v = v,
                    .lse = lse_,
                    .delta = delta,
                    .query_leaf = queries_.leaf(),
                    .key_leaf = keys_.leaf(),
                    .document = batch.document,
                    .options = config_.tree.dense});
  queries_.DenseBackward(ctx, dq, q, query_effect);
  keys_.DenseBackward(ctx, dk, k, key_effect);
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
