#pragma once

// The input of the encoder: token + position + type, layer norm, dropout.     Devlin et al. 2019
//
//   y [B n, d]     bert.embeddings.word_embeddings.weight [V, d], position_embeddings.weight,
//                  token_type_embeddings.weight, LayerNorm.weight, LayerNorm.bias
// The token table is tied: the head reads it, and adds its own gradient first.

#include "core/layers/linear_layer.h"
#include "core/layers/token_table.h"

namespace treeformer {

// It takes no input.
class Embeddings : public Layer {
 public:
  explicit Embeddings(const LayerBuilder& builder);

  std::string name() const override { return "embeddings"; }
  LayerCost Cost(const BatchShape& shape, std::optional<double>) const override {
    return {.temporaries = shape.sequences * shape.length * width_};
  }
  std::vector<Port> Inputs(const BatchShape&) const override { return {}; }
  std::vector<Port> Outputs(const BatchShape& shape) const override;
  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, const Tensors& y, const Tensors& none,
               const MicroBatch& batch) override;
  void BackwardInput(Context& ctx, const Tensors& none, const Tensors& dy, const Tensors& no_x,
                     const MicroBatch& batch) override;

 private:
  Dropout MakeLayerDropout(const MicroBatch& batch) const;

  Parameters* parameters_;
  WeightGradients* weights_;
  const int64_t width_;
  const float dropout_;
  Parameters::Id token_table_, position_table_, type_table_;
  LayerNormLayer norm_;
  Out sum_;    // [B n, d]
  Out d_sum_;  // [B n, d], where the gradients of weights are deferred
};

}  // namespace treeformer
