#pragma once

// The masked-LM head: logits and loss at the target positions only.          Devlin et al. 2019
//
//   t = LayerNorm(gelu(W x + b))            cls.predictions.transform.{dense,LayerNorm}
//   z = t E^T + bias                        E: the tied token table [V, d]; cls.predictions.bias
//   loss_m = softmax cross-entropy of z_m; 0 in unused slots.  Gradients are of sum_m loss_m.
//
//   x       [M, d], a row for each target slot
//   logits  [M, AlignedColumns(V)], of a row the first V
// Forward in training leaves the gradient of the logits in their place, where Backward reads it.

#include "core/layers/head.h"
#include "core/layers/linear_layer.h"

namespace treeformer {

class MaskedLmHead : public Head {
 public:
  explicit MaskedLmHead(const LayerBuilder& builder);

  std::string name() const override { return "head"; }
  LayerCost Cost(const BatchShape& shape, std::optional<double>) const override;
  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, const Tensors& none, const Tensors& x,
               const MicroBatch& batch) override;
  void BackwardInput(Context& ctx, const Tensors& dx, const Tensors& none, const Tensors& x,
                     const MicroBatch& batch) override;
  std::vector<std::string> SumNames() const override { return {"loss", "correct"}; }
  void AddSums(Context& ctx, View<double> sums) const override;
  std::vector<int32_t> ReadPredictions(Context& ctx) const override;

  In loss() const { return loss_; }                         // [M] nats
  View<const int32_t> correct() const { return correct_; }  // [M]
  In logits() const { return scores_; }                     // of a Forward that was no training

 private:
  Parameters* parameters_;
  WeightGradients* weights_;
  const int64_t vocabulary_;
  Parameters::Id token_table_;
  LinearLayer dense_;
  LayerNormLayer norm_;
  Parameters::Id bias_;
  Out pre_, gelu_, transformed_;  // [M, d]
  Out d_pre_;                     // [M, d], where the gradients of weights are deferred
  Out scores_;                    // [M, AlignedColumns(V)]: logits, in training then their gradient
  bool holds_gradient_ = false;
  Indices target_;  // [M], of the last Forward
  Out loss_;
  View<int32_t> correct_;
};

Objective MaskedLm();

}  // namespace treeformer
