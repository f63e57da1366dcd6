#pragma once

// A branch with its dropout, residual connection and layer norm.
//
//   post-norm (default)  y = LayerNorm(x + dropout(f(x)))        Devlin et al. 2019
//   pre-norm             y = x + dropout(f(LayerNorm(x)))        Xiong et al. 2020
//
//   x, y [rows, d]

#include <memory>
#include <string>

#include "core/layers/linear_layer.h"

namespace treeformer {

// f: attention or feed-forward.  Keeps no view of x: Backward is given it again.
class Branch {
 public:
  virtual ~Branch() = default;
  virtual void Bind(const LayerMemory& memory) = 0;
  virtual void Forward(Context& ctx, Out y, In x, const MicroBatch& batch) = 0;
  virtual void Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch& batch) = 0;  // dx +=
};

class ResidualBlock {
 public:
  // `place` keys the dropout of layer `layer`.
  ResidualBlock(const LayerBuilder& builder, std::unique_ptr<Branch> branch,
                const std::string& norm_name, int64_t layer, RandomPlace place);

  void Bind(const LayerMemory& memory, int64_t rows);
  void Forward(Context& ctx, Out y, In x, const MicroBatch& batch);
  void Backward(Context& ctx, Out dx, In dy, In x, const MicroBatch& batch);  // dx may be dy

 private:
  Dropout MakeBranchDropout(const MicroBatch& batch) const;

  std::unique_ptr<Branch> branch_;
  LayerNormLayer norm_;
  WeightGradients* weights_;
  const int64_t width_;
  const bool pre_norm_;
  const float dropout_;
  const int64_t layer_;
  const RandomPlace place_;
  Out kept_;      // [rows, d]: the sum before the norm, or pre-norm the normed input of the branch
  Out d_branch_;  // [rows, d], where the gradients of weights are deferred
};

}  // namespace treeformer
