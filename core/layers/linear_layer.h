#pragma once

// The two layers that all others are made of: x W^T + b, and layer normalisation.
// They keep no input: Backward is given the x of Forward again.

#include <string>

#include "core/layer.h"

namespace treeformer {

// y = x w^T + b       x [N, I]   name.weight [O, I], N(0, initial_deviation)   name.bias [O], 0
class LinearLayer {
 public:
  LinearLayer(const LayerBuilder& builder, const std::string& name, int64_t outputs,
              int64_t inputs);

  void Forward(Context& ctx, Out y, In x) const;
  void GeluForward(Context& ctx, Out y, Out pre, In x) const;  // pre = x w^T + b, y = gelu(pre)
  // dx = dy w, or dx += dy w.  Where the gradients of weights are deferred, dy and x stay.
  void Backward(Context& ctx, Out dx, In dy, In x, bool accumulate) const;

 private:
  Parameters* parameters_;
  WeightGradients* weights_;
  Parameters::Id weight_, bias_;
};

// y = gamma (x - mean) rstd + beta       name.weight = gamma [C], 1       name.bias = beta [C], 0
class LayerNormLayer {
 public:
  LayerNormLayer(const LayerBuilder& builder, const std::string& name);

  void Bind(const LayerMemory& memory, int64_t rows);
  void Forward(Context& ctx, Out y, In x) const;
  void Backward(Context& ctx, Out dx, In dy, In x) const;  // dx may be dy

 private:
  Parameters* parameters_;
  Parameters::Id gamma_, beta_;
  float epsilon_;
  Out mean_, rstd_;  // [rows]
};

}  // namespace treeformer
