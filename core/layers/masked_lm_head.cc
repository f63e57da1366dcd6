#include "core/layers/masked_lm_head.h"

#include "core/layers/token_table.h"
#include "kernels/activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/matmul/linear.h"

namespace treeformer {

MaskedLmHead::MaskedLmHead(const LayerBuilder& builder)
    : Head(builder.config),
      parameters_(&builder.parameters),
      weights_(&builder.weights),
      vocabulary_(builder.config.vocabulary),
      token_table_(DeclareTokenTable(builder)),
      dense_(builder, "cls.predictions.transform.dense", width_, width_),
      norm_(builder, "cls.predictions.transform.LayerNorm"),
      bias_(parameters_->Declare("cls.predictions.bias", {vocabulary_}, Initializer::Zeros(),
                                 Role::kBias)) {}

LayerCost MaskedLmHead::Cost(const BatchShape& shape, std::optional<double>) const {
  const double M = static_cast<double>(shape.targets), d = static_cast<double>(width_);
  return {.products = 2 * M * d * (d + static_cast<double>(vocabulary_)),
          .temporaries = shape.targets * width_};
}

void MaskedLmHead::Bind(const LayerMemory& memory) {
  const int64_t M = memory.shape.targets;
  norm_.Bind(memory, M);
  for (Out* activation : {&pre_, &gelu_, &transformed_}) {
    *activation = memory.activations.Make({M, width_});
  }
  d_pre_ = weights_->Keep(memory.activations, pre_.shape());
  scores_ = memory.activations.Make({M, AlignedColumns(vocabulary_)});
  loss_ = memory.activations.MakeStatistics({M});
  correct_ = memory.activations.MakeInts({M});
}

void MaskedLmHead::Forward(Context& ctx, const Tensors&, const Tensors& x,
                           const MicroBatch& batch) {
  dense_.GeluForward(ctx, gelu_, pre_, x[0]);
  norm_.Forward(ctx, transformed_, gelu_);
  LinearForward(ctx, scores_, transformed_, parameters_->value(token_table_),
                parameters_->value(bias_));
  target_ = batch.target_token;
  holds_gradient_ = batch.step.training;
  SoftmaxCrossEntropy(ctx, loss_, correct_, scores_, vocabulary_, target_,
                      /*gradient=*/holds_gradient_);
}

void MaskedLmHead::BackwardInput(Context& ctx, const Tensors& dx, const Tensors&, const Tensors& x,
                                 const MicroBatch&) {
  CHECK(holds_gradient_) << "Backward after a Forward that was no training";
  Scratch::Scope scope(ctx.scratch());
  const Out d = OrScratch(d_pre_, scope, pre_.dtype(), pre_.shape());
  weights_->Do(ctx, [parameters = parameters_, table = token_table_, bias = bias_,
                     d_scores = scores_, y = transformed_](Context& c) {
    LinearBackwardWeights(c, parameters->gradient(table), parameters->gradient(bias), d_scores, y);
  });
  LinearBackwardInput(ctx, d, scores_, parameters_->value(token_table_), /*accumulate=*/false);
  norm_.Backward(ctx, d, d, gelu_);
  GeluBackward(ctx, d, d, pre_);
  dense_.Backward(ctx, dx[0], d, x[0], /*accumulate=*/false);
}

void MaskedLmHead::AddSums(Context& ctx, View<double> sums) const {
  AddLossSums(ctx, sums, loss_, correct_);
}

std::vector<int32_t> MaskedLmHead::ReadPredictions(Context& ctx) const {
  CHECK(!holds_gradient_) << "predictions of a Forward for training";
  return ArgMaxOfTargets(ctx, scores_, vocabulary_, target_);
}

Objective MaskedLm() {
  return {"masked_lm", [](const LayerBuilder& builder) -> std::unique_ptr<Head> {
            return std::make_unique<MaskedLmHead>(builder);
          }};
}

}  // namespace treeformer
