#pragma once

// WeightGradients: the products dw += dy^T x of a layer's backward pass, made at once or later.
//
// A pipeline schedule may put them off (zero bubble: Qi et al. 2023): then what they read must stay
// until they are made, and the layers take the gradients that they need from the slot instead of
// scratch memory.  The order of the products is that of the calls, so the sums have the same bits.

#include <functional>
#include <utility>
#include <vector>

#include "core/activations.h"
#include "kernels/runtime/context.h"

namespace treeformer {

class WeightGradients {
 public:
  using Work = std::function<void(Context&)>;

  explicit WeightGradients(bool deferred = false) : deferred_(deferred) {}

  bool deferred() const { return deferred_; }
  void Use(int slot) { slot_ = slot; }
  // `work` adds to gradients of weights, and reads only what stays in the slot where deferred().
  template <typename F>
  void Do(Context& ctx, const F& work) {
    if (!deferred_) return work(ctx);
    if (static_cast<int>(waiting_.size()) <= slot_) waiting_.resize(slot_ + 1);
    waiting_[slot_].push_back(work);
  }
  // Memory for a gradient that `work` will read; null where it may be scratch.
  Out Keep(Activations& activations, const Shape& shape) const {
    return deferred_ ? activations.Make(shape) : Out();
  }
  // Makes those of the slot in use.
  void Finish(Context& ctx) {
    if (slot_ >= static_cast<int>(waiting_.size())) return;
    for (const Work& work : std::exchange(waiting_[slot_], {})) work(ctx);
  }

 private:
  const bool deferred_;
  int slot_ = 0;
  std::vector<std::vector<Work>> waiting_;  // by slot
};

inline Out OrScratch(Out kept, Scratch::Scope& scope, DType dtype, const Shape& shape) {
  return kept ? kept : scope.Take(dtype, shape);
}

}  // namespace treeformer
