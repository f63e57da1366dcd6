#pragma once

// The optimiser's elementwise work on a range of the one parameter buffer.

#include <vector>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

// AdamW.                                                  Loshchilov, Hutter 2019, algorithm 2
//   g = gradient scale
//   m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
//   w -= rate (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + decay w)
struct AdamWLevel {
  int64_t end = 0;  // of its entries, which begin where the level before ends
  int64_t t = 1;    // of these entries, instead of AdamWOptions::t
};

struct AdamWOptions {
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  int64_t t = 1;  // updates including this one, from 1
  // Where not all of w [H, K, ...] have had as many updates: levels along axis 1, up to K; at most
  // kMaxLevels.  Empty: all have had t.
  static constexpr int kMaxLevels = 24;
  std::vector<AdamWLevel> levels = {};
};

// Nothing is written where `scale` is NaN.
// w, m, v, gradient [N].  `scale` [1] of the same element type, on the device: averaging and
// clipping in one factor.  `copy` [N] bfloat16, may be null: w rounded, for the matrix products.
void AdamW(Context& ctx, Out w, Out m, Out v, In gradient, In scale, const AdamWOptions& options,
           Out copy);
DECLARE_BACK_ENDS(AdamW)

// copy [N] bfloat16 = w, rounded to nearest, ties to even.
void RoundToBFloat16(Context& ctx, Out copy, In w);
DECLARE_BACK_ENDS(RoundToBFloat16)

// sum [1] float64 = sum_i x_i^2, in an order that does not depend on the number of threads.
void SquaredNorm(Context& ctx, View<double> sum, In x);
DECLARE_BACK_ENDS(SquaredNorm)
// The same on the host, for which it waits.
double ReadSquaredNorm(Context& ctx, In x);

// scale [1] = 1 / count * min(1, max_norm / (sqrt(squared_norm) / count)); max_norm 0: no clipping.
// squared_norm, count [1] on the device.  NaN where the norm is not finite or the count is 0.
void ClipScale(Context& ctx, Out scale, View<const double> squared_norm, View<const double> count,
               double max_norm);
DECLARE_BACK_ENDS(ClipScale)

}  // namespace treeformer
