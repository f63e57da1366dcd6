#include "core/layers/masked_lm_head.h"

#include "kernels/activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/matmul/linear.h"

namespace treeformer {

MaskedLmHead::MaskedLmHead(const LayerBuilder& builder, Parameters::Id token_table)
    : parameters_(&builder.parameters),
      vocabulary_(builder.config.vocabulary),
      token_table_(token_table),
      dense_(builder, "cls.predictions.transform.dense", builder.config.width,
             builder.config.width),
      norm_(builder, "cls.predictions.transform.LayerNorm", builder.shape.targets),
      bias_(parameters_->Declare("cls.predictions.bias", {vocabulary_}, Initializer::Zeros(),
                                 Role::kBias)) {
  const Shape rows{builder.shape.targets, builder.config.width};
  for (Out* activation : {&pre_, &gelu_, &transformed_}) {
    *activation = builder.activations.Make(rows);
  }
  logits_ = builder.activations.Make({builder.shape.targets, AlignedColumns(vocabulary_)});
  loss_ = builder.activations.MakeStatistics({builder.shape.targets});
  correct_ = builder.activations.MakeInts({builder.shape.targets});
}

void MaskedLmHead::Forward(Context& ctx, In x, const MicroBatch& batch) {
  dense_.GeluForward(ctx, gelu_, pre_, x);
  norm_.Forward(ctx, transformed_, gelu_);
  LinearForward(ctx, logits_, transformed_, parameters_->value(token_table_),
                parameters_->value(bias_));
  SoftmaxCrossEntropy(ctx, loss_, correct_, logits_, vocabulary_, batch.target_token,
                      /*gradient=*/batch.step.training);
}

void MaskedLmHead::Backward(Context& ctx, Out dx, In x) {
  Scratch::Scope scope(ctx.scratch());
  const Out d = scope.Take(pre_.dtype(), pre_.shape());
  LinearBackwardWeights(ctx, parameters_->gradient(token_table_), parameters_->gradient(bias_),
                        logits_, transformed_);
  LinearBackwardInput(ctx, d, logits_, parameters_->value(token_table_), /*accumulate=*/false);
  norm_.Backward(ctx, d, d, gelu_);
  GeluBackward(ctx, d, d, pre_);
  dense_.Backward(ctx, dx, d, x, /*accumulate=*/false);
}

}  // namespace treeformer
