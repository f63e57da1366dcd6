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
      weights_(&builder.weights),
      width_(builder.config.width),
      dropout_(builder.config.dropout),
      token_table_(DeclareTokenTable(builder)),
      position_table_(DeclareTable(builder, "position_embeddings", builder.config.max_positions,
                                   builder.config.sinusoidal_positions)),
      type_table_(DeclareTable(builder, "token_type_embeddings", builder.config.token_types)),
      norm_(builder, "bert.embeddings.LayerNorm") {}

std::vector<Port> Embeddings::Outputs(const BatchShape& shape) const {
  return {{"hidden", {shape.sequences * shape.length, width_}}};
}

void Embeddings::Bind(const LayerMemory& memory) {
  norm_.Bind(memory, memory.rows());
  sum_ = memory.activations.Make({memory.rows(), width_});
  d_sum_ = weights_->Keep(memory.activations, sum_.shape());
}

Dropout Embeddings::MakeLayerDropout(const MicroBatch& batch) const {
  return MakeDropout(dropout_, batch, /*layer=*/0, RandomPlace::kEmbedding,
                     sum_.count() / batch.sequences());
}

void Embeddings::Forward(Context& ctx, const Tensors& y, const Tensors&, const MicroBatch& batch) {
  EmbeddingForward(ctx, sum_,
                   {parameters_->value(token_table_), parameters_->value(position_table_),
                    parameters_->value(type_table_)},
                   {batch.tokens, batch.positions, batch.types});
  norm_.Forward(ctx, y[0], sum_);
  const Dropout dropout = MakeLayerDropout(batch);
  if (dropout.enabled()) ApplyDropout(ctx, y[0], y[0], dropout);
}

void Embeddings::BackwardInput(Context& ctx, const Tensors&, const Tensors& dy, const Tensors&,
                               const MicroBatch& batch) {
  Scratch::Scope scope(ctx.scratch());
  const Out d_sum = OrScratch(d_sum_, scope, dy[0].dtype(), dy[0].shape());
  ApplyDropout(ctx, d_sum, dy[0], MakeLayerDropout(batch));
  norm_.Backward(ctx, d_sum, d_sum, sum_);
  weights_->Do(ctx, [this, d_sum, tokens = batch.tokens, positions = batch.positions,
                     types = batch.types](Context& c) {
    EmbeddingBackward(c,
                      {parameters_->gradient(token_table_), parameters_->gradient(position_table_),
                       parameters_->gradient(type_table_)},
                      d_sum, {tokens, positions, types});
  });
}

}  // namespace treeformer
