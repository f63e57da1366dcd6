#include "core/layers/embeddings.h"

#include "kernels/residual.h"

namespace treeformer {

namespace {

Parameters::Id DeclareTable(const LayerBuilder& builder, const std::string& name, int64_t rows,
                            bool sinusoidal = false) {
  const float deviation = builder.config.initial_deviation;
  return builder.parameters.Declare(
      "bert.embeddings." + name + ".weight", {rows, builder.config.width},
      sinusoidal ? Initializer::Sinusoid(deviation) : Initializer::Normal(deviation),
      Role::kWeight);
}

}  // namespace

Embeddings::Embeddings(const LayerBuilder& builder)
    : parameters_(&builder.parameters),
      dropout_(builder.config.dropout),
      token_table_(DeclareTable(builder, "word_embeddings", builder.config.vocabulary)),
      position_table_(DeclareTable(builder, "position_embeddings", builder.config.max_positions,
                                   builder.config.sinusoidal_positions)),
      type_table_(DeclareTable(builder, "token_type_embeddings", builder.config.token_types)),
      norm_(builder, "bert.embeddings.LayerNorm", builder.rows()),
      sum_(builder.activations.Make({builder.rows(), builder.config.width})) {}

Dropout Embeddings::MakeLayerDropout(const MicroBatch& batch) const {
  const int64_t sequences = batch.document.shape()[0];
  return MakeDropout(dropout_, batch, /*layer=*/0, RandomPlace::kEmbedding,
                     sum_.count() / sequences);
}

void Embeddings::Forward(Context& ctx, Out y, const MicroBatch& batch) {
  EmbeddingForward(ctx, sum_,
                   {parameters_->value(token_table_), parameters_->value(position_table_),
                    parameters_->value(type_table_)},
                   {batch.tokens, batch.positions, batch.types});
  norm_.Forward(ctx, y, sum_);
  const Dropout dropout = MakeLayerDropout(batch);
  if (dropout.enabled()) ApplyDropout(ctx, y, y, dropout);
}

void Embeddings::Backward(Context& ctx, In dy, const MicroBatch& batch) {
  Scratch::Scope scope(ctx.scratch());
  const Out d_sum = scope.Take(dy.dtype(), dy.shape());
  ApplyDropout(ctx, d_sum, dy, MakeLayerDropout(batch));
  norm_.Backward(ctx, d_sum, d_sum, sum_);
  EmbeddingBackward(ctx,
                    {parameters_->gradient(token_table_), parameters_->gradient(position_table_),
                     parameters_->gradient(type_table_)},
                    d_sum, {batch.tokens, batch.positions, batch.types});
}

}  // namespace treeformer
