#pragma once

// The masked-LM head: logits and loss at the target positions only.          Devlin et al. 2019
//
//   t = LayerNorm(gelu(W x + b))            cls.predictions.transform.{dense,LayerNorm}
//   z = t E^T + bias                        E: the tied token table [V, d]; cls.predictions.bias
//   loss_m = softmax cross-entropy of z_m; 0 in unused slots.  Gradients are of sum_m loss_m.
//
//   x       [M, d], a row for each target slot
//   logits  [M, AlignedColumns(V)], of a row the first V; in training their gradient overwrites them

#include "core/layers/linear_layer.h"

namespace treeformer {

class MaskedLmHead {
 public:
  MaskedLmHead(const LayerBuilder& builder, Parameters::Id token_table);

  void Forward(Context& ctx, In x, const MicroBatch& batch);
  void Backward(Context& ctx, Out dx, In x);

  In loss() const { return loss_; }                         // [M] nats
  View<const int32_t> correct() const { return correct_; }  // [M]
  In logits() const { return logits_; }

 private:
  Parameters* parameters_;
  int64_t vocabulary_;
  Parameters::Id token_table_;
  LinearLayer dense_;
  LayerNormLayer norm_;
  Parameters::Id bias_;
  Out pre_, gelu_, transformed_;  // [M, d]
  Out logits_, loss_;
  View<int32_t> correct_;
};

}  // namespace treeformer
