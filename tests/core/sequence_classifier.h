#pragma once

// A second objective beside masked LM: a class for each sequence, from its first token.
//
//   z = W x + b       x [M, d], a row for each sequence       classifier.weight [classes, d], .bias
// It shows what a new head needs (.github/CONTRIBUTING.md).

#include "core/layers/head.h"
#include "core/layers/linear_layer.h"
#include "kernels/cross_entropy.h"
#include "kernels/matmul/linear.h"

namespace treeformer::testing_util {

class SequenceClassifier : public Head {
 public:
  SequenceClassifier(const LayerBuilder& builder, int64_t classes)
      : Head(builder.config),
        classes_(classes),
        dense_(builder, "classifier", classes, builder.config.width) {}

  std::string name() const override { return "head"; }
  LayerCost Cost(const BatchShape& shape, std::optional<double>) const override {
    return {.products = 2.0 * static_cast<double>(shape.targets * classes_ * width_)};
  }
  void Bind(const LayerMemory& memory) override {
    const int64_t M = memory.shape.targets;
    scores_ = memory.activations.Make({M, AlignedColumns(classes_)});
    loss_ = memory.activations.MakeStatistics({M});
    correct_ = memory.activations.MakeInts({M});
  }
  void Forward(Context& ctx, const Tensors&, const Tensors& x, const MicroBatch& batch) override {
    dense_.Forward(ctx, scores_, x[0]);
    target_ = batch.target_token;
    SoftmaxCrossEntropy(ctx, loss_, correct_, scores_, classes_, target_, batch.step.training);
  }
  void BackwardInput(Context& ctx, const Tensors& dx, const Tensors&, const Tensors& x,
                     const MicroBatch&) override {
    dense_.Backward(ctx, dx[0], scores_, x[0], /*accumulate=*/false);
  }
  std::vector<std::string> SumNames() const override { return {"loss", "correct"}; }
  void AddSums(Context& ctx, View<double> sums) const override {
    AddLossSums(ctx, sums, loss_, correct_);
  }
  std::vector<int32_t> ReadPredictions(Context& ctx) const override {
    return ArgMaxOfTargets(ctx, scores_, classes_, target_);
  }

 private:
  const int64_t classes_;
  LinearLayer dense_;
  Out scores_, loss_;
  View<int32_t> correct_;
  Indices target_;
};

inline Objective SequenceClassification(int64_t classes) {
  return {"sequence_classification",
          [classes](const LayerBuilder& builder) -> std::unique_ptr<Head> {
            return std::make_unique<SequenceClassifier>(builder, classes);
          }};
}

}  // namespace treeformer::testing_util
