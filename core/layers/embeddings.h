#pragma once

// The input of the encoder: token + position + type, layer norm, dropout.     Devlin et al. 2019
//
//   y [B n, d]     bert.embeddings.word_embeddings.weight [V, d], position_embeddings.weight,
//                  token_type_embeddings.weight, LayerNorm.weight, LayerNorm.bias
// The token table is tied: the head reads it, and adds its own gradient first.

#include "core/layers/linear_layer.h"

namespace treeformer {

class Embeddings {
 public:
  explicit Embeddings(const LayerBuilder& builder);

  void Forward(Context& ctx, Out y, const MicroBatch& batch);
  void Backward(Context& ctx, In dy, const MicroBatch& batch);

  Parameters::Id token_table() const { return token_table_; }

 private:
  Dropout MakeLayerDropout(const MicroBatch& batch) const;

  Parameters* parameters_;
  const float dropout_;
  Parameters::Id token_table_, position_table_, type_table_;
  LayerNormLayer norm_;
  Out sum_;  // [B n, d]
};

}  // namespace treeformer
