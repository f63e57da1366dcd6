#pragma once

// Sliding-window attention: softmax attention to the keys near the query in the sequence.
//                              Longformer (Beltagy et al. 2020), section 3.1, without global tokens
//
//   query i sees key j of its document where |i - j| <= window / 2, rounded down
//   causal: and j <= i
// So `window` 0 and 1 are the token alone, and a window of twice the length is full attention.
// It has no parameters, and is a control for trees: as cheap, with pairs that nothing learned.

#include "core/attention/attention.h"
#include "kernels/tree/tf/tf_attention.h"

namespace treeformer {

extern const AttentionKind kSlidingWindowAttention;

struct SlidingWindow {  // AttentionConfig::numbers
  int64_t window = 0;

  int64_t reach() const { return window / 2; }  // tokens to either side
};

class SlidingWindowAttention : public Attention {
 public:
  SlidingWindowAttention(const LayerBuilder& builder, int64_t layer);

  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, Out o, const AttentionInput& x, const MicroBatch& batch) override;
  void Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o, const AttentionInput& x, In o,
                const MicroBatch& batch) override;
  TreeStatistics ReadStatistics(Context& ctx, const MicroBatch& batch) const override;

 private:
  TfOperands Operands(const AttentionInput& x, const MicroBatch& batch) const;

  const SlidingWindow window_;
  const bool causal_;
  const int64_t layer_, heads_;
  const float dropout_;
  View<int32_t> leaf_, order_;  // [B, H, n]; all leaves are 0
  View<int32_t> range_;         // [B, H, n, 2]
  Out lse_;                     // [B, H, n]
};

}  // namespace treeformer
