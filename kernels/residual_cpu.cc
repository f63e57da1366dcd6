// Dropout and the residual connection for float32 in vectors: the random bits of a run of Philox
// blocks first, then the elements they belong to.

#include <algorithm>

#include "kernels/residual.h"
#include "kernels/runtime/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/residual_cpu.cc"
// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include "kernels/base/philox-inl.h"
#include "kernels/runtime/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr int64_t kBlocks = 256;  // Philox blocks at a time, a multiple of every vector

// y = x + dropout(branch) on [begin, end); x may be null: 0.
void AddDropout(float* y, const float* x, const float* branch, const Dropout& dropout,
                int64_t begin, int64_t end) {
  const D d;
  const hn::RebindToUnsigned<D> d32;
  const hn::RebindToSigned<D> d_signed;
  const int64_t N = hn::Lanes(d);
  const V rate = hn::Set(d, dropout.rate), scale = hn::Set(d, dropout.scale());
  alignas(64) uint32_t bits[4 * kBlocks + 64];  // the last vector of a run may read past it
  std::fill(bits + 4 * kBlocks, bits + 4 * kBlocks + 64, 0u);
  for (int64_t i = begin; i < end;) {
    const uint64_t element = dropout.offset + i;
    NeighbourBits(bits, dropout.key, element / 4 * 4, 4 * kBlocks);
    const uint32_t* run = bits + element % 4;
    const int64_t run_end = std::min<int64_t>(end, i + 4 * kBlocks - element % 4);
    for (; i < run_end; i += N, run += N) {
      const int64_t lanes = std::min(N, run_end - i);
      const auto mantissa = hn::BitCast(d_signed, hn::ShiftRight<8>(hn::LoadU(d32, run)));
      const V uniform = hn::Mul(hn::ConvertTo(d, mantissa), hn::Set(d, 0x1p-24f));
      const V scaled = hn::Mul(LoadUpTo(d, branch + i, lanes), scale);
      V y_i = hn::IfThenElseZero(hn::Ge(uniform, rate), scaled);
      if (x != nullptr) y_i = hn::Add(LoadUpTo(d, x + i, lanes), y_i);
      StoreUpTo(y_i, d, y + i, lanes);
    }
    i = run_end;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer {
namespace cpu {

HWY_EXPORT(AddDropout);

constexpr int64_t kChunk = 1 << 14;  // elements

}  // namespace cpu

void cpu::ApplyDropout(Context&, Out y_any, In x_any, const Dropout& dropout) {
  const View<float> y = y_any;
  const View<const float> x = x_any;
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    if (dropout.enabled()) {
      HWY_DYNAMIC_DISPATCH(AddDropout)(y.data(), nullptr, x.data(), dropout, begin, end);
    } else if (y.data() != x.data()) {
      std::copy(x.data() + begin, x.data() + end, y.data() + begin);
    }
  });
}

void cpu::AddResidual(Context&, Out y_any, In x_any, In branch_any, const Dropout& dropout) {
  const View<float> y = y_any;
  const View<const float> x = x_any, branch = branch_any;
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    if (dropout.enabled()) {
      HWY_DYNAMIC_DISPATCH(AddDropout)(y.data(), x.data(), branch.data(), dropout, begin, end);
    } else {
      for (int64_t i = begin; i < end; ++i) y[i] = x[i] + branch[i];
    }
  });
}

}  // namespace treeformer
#endif
