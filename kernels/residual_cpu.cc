// Dropout and the residual connection for float32 in vectors: the random bits of a run of Philox
// blocks first, then the elements they belong to.

#include <algorithm>

#include "kernels/parallel.h"
#include "kernels/random.h"
#include "kernels/runtime/context.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/residual_cpu.cc"
// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include "kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace cpu {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using D64 = hn::ScalableTag<uint64_t>;
using V64 = hn::Vec<D64>;

constexpr int64_t kBlocks = 256;  // Philox blocks at a time, a multiple of every vector

#if HWY_TARGET == HWY_SCALAR
void FillRandomBits(uint32_t* bits, const RandomKey& key, uint64_t first) {
  for (int64_t i = 0; i < 4 * kBlocks; ++i) bits[i] = RandomBits(key, 4 * first + i);
}
#else
// a.low * b.low, 64 bits wide.
HWY_INLINE V64 MulLow(D64 d, V64 a, V64 b) {
  const hn::Repartition<uint32_t, D64> d32;
  return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, b));
}

// RandomBlock() of the blocks first .. first + kBlocks - 1.  A lane is one block; each of its four
// numbers c0 .. c3 is the lower half of a 64-bit lane, whose upper half holds what does not matter.
void FillRandomBits(uint32_t* bits, const RandomKey& key, uint64_t first) {
  const D64 d;
  const V64 m0 = hn::Set(d, uint64_t{0xD2511F53}), m1 = hn::Set(d, uint64_t{0xCD9E8D57});
  const V64 low = hn::Set(d, uint64_t{0xFFFFFFFF});
  for (int64_t block = 0; block < kBlocks; block += hn::Lanes(d)) {
    V64 c0 = hn::Iota(d, first + block);
    V64 c1 = hn::ShiftRight<32>(c0);
    V64 c2 = hn::Set(d, uint64_t{key.step}), c3 = hn::Set(d, uint64_t{key.site});
    uint32_t k0 = key.seed, k1 = key.seed >> 32;
    for (int round = 0; round < 10; ++round) {
      const V64 product0 = MulLow(d, c0, m0), product1 = MulLow(d, c2, m1);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), c1), hn::Set(d, uint64_t{k0}));
      c1 = product1;
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), c3), hn::Set(d, uint64_t{k1}));
      c3 = product0;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    const V64 c01 = hn::Or(hn::And(c0, low), hn::ShiftLeft<32>(c1));
    const V64 c23 = hn::Or(hn::And(c2, low), hn::ShiftLeft<32>(c3));
    hn::StoreInterleaved2(c01, c23, d, reinterpret_cast<uint64_t*>(bits + 4 * block));
  }
}
#endif

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
    FillRandomBits(bits, dropout.key, element / 4);
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
}  // namespace cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cpu {

HWY_EXPORT(AddDropout);

constexpr int64_t kChunk = 1 << 14;  // elements

void ApplyDropout(Context&, View<float> y, View<const float> x, const Dropout& dropout) {
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    if (dropout.enabled()) {
      HWY_DYNAMIC_DISPATCH(AddDropout)(y.data(), nullptr, x.data(), dropout, begin, end);
    } else if (y.data() != x.data()) {
      std::copy(x.data() + begin, x.data() + end, y.data() + begin);
    }
  });
}

void AddResidual(Context&, View<float> y, View<const float> x, View<const float> branch,
                 const Dropout& dropout) {
  ParallelChunks(x.count(), kChunk, [&](int64_t, int64_t begin, int64_t end) {
    if (dropout.enabled()) {
      HWY_DYNAMIC_DISPATCH(AddDropout)(y.data(), x.data(), branch.data(), dropout, begin, end);
    } else {
      for (int64_t i = begin; i < end; ++i) y[i] = x[i] + branch[i];
    }
  });
}

}  // namespace cpu
#endif
