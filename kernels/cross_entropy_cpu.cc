// Softmax cross-entropy for float32 in vectors; threads over rows.

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cross_entropy.h"
#include "kernels/runtime/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross_entropy_cpu.cc"
// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
#include "kernels/runtime/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

float Largest(const float* z, int64_t count) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const D d;
  const int64_t N = hn::Lanes(d);
  V largest = hn::Set(d, kLowest);
  for (int64_t c = 0; c < count; c += N) {
    largest = hn::Max(largest, LoadUpTo(d, z + c, std::min(N, count - c), kLowest));
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

// sum_c exp(z_c - largest); z <- the terms, if `store`.  Float sums of 1024 terms, then double.
double SumOfExponentials(float* z, int64_t count, float largest, bool store) {
  constexpr int64_t kBlock = 1024;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const D d;
  const int64_t N = hn::Lanes(d);
  const V shift = hn::Set(d, largest);
  double total = 0;
  for (int64_t block = 0; block < count; block += kBlock) {
    const int64_t end = std::min(count, block + kBlock);
    V sum = hn::Zero(d);
    for (int64_t c = block; c < end; c += N) {
      const int64_t lanes = std::min(N, end - c);
      const V x = hn::Sub(LoadUpTo(d, z + c, lanes, kLowest), shift);
      const V term = hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));  // Exp makes 0 of a NaN
      sum = hn::Add(sum, term);
      if (store) StoreUpTo(term, d, z + c, lanes);
    }
    total += hn::GetLane(hn::SumOfLanes(d, sum));
  }
  return total;
}

void Scale(float* z, int64_t count, float factor) {
  const D d;
  const int64_t N = hn::Lanes(d);
  for (int64_t c = 0; c < count; c += N) {
    const int64_t lanes = std::min(N, count - c);
    StoreUpTo(hn::Mul(LoadUpTo(d, z + c, lanes), hn::Set(d, factor)), d, z + c, lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer {
namespace cpu {

HWY_EXPORT(Largest);
HWY_EXPORT(SumOfExponentials);
HWY_EXPORT(Scale);

}  // namespace cpu

void cpu::SoftmaxCrossEntropy(Context&, Out loss_any, View<int32_t> correct, Out logits_any,
                              int64_t V, Indices target, bool gradient) {
  const View<float> loss = loss_any, logits = logits_any;
  const int64_t M = logits.shape()[0], ld = logits.shape()[1];
  const int64_t chunk = RowsPerChunk(V, /*elements=*/1 << 14);
  ParallelChunks(M, chunk, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      float* z = logits.data() + m * ld;
      const int64_t t = target[m];
      CHECK_LT(t, V) << "target of row " << m << ", of " << V << " classes";
      loss[m] = 0;
      correct[m] = 0;
      if (t < 0) {
        if (gradient) std::fill(z, z + V, 0.0f);
        continue;
      }
      const float largest = HWY_DYNAMIC_DISPATCH(Largest)(z, V), z_t = z[t];
      correct[m] = z_t == largest && std::find(z, z + t, largest) == z + t;
      const double sum = HWY_DYNAMIC_DISPATCH(SumOfExponentials)(z, V, largest, gradient);
      loss[m] = std::log(sum) - (double{z_t} - largest);
      if (!gradient) continue;
      HWY_DYNAMIC_DISPATCH(Scale)(z, V, 1 / sum);
      z[t] -= 1;
    }
  });
}

void cpu::AddLossSums(Context& ctx, View<double> sums, In loss, Indices correct) {
  reference::AddLossSums<float>(ctx, sums, loss, correct);
}

}  // namespace treeformer
#endif
