#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/runtime/bfloat16.cc"
#include "kernels/runtime/bfloat16.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {

using Floats = hn::ScalableTag<float>;
using Words = hn::RebindToUnsigned<Floats>;
using HalfWords = hn::Rebind<uint16_t, Floats>;

void RoundRow(BFloat16* y, const float* x, int64_t count) {
  const Floats d;
  const Words words;
  const hn::RebindToSigned<Floats> integers;
  const HalfWords halves;
  const int64_t step = hn::Lanes(d);
  for (int64_t i = 0; i < count; i += step) {
    const int64_t lanes = std::min(step, count - i);
    const auto value = LoadUpTo(d, x + i, lanes);
    const auto bits = hn::BitCast(words, value);
    const auto upper = hn::ShiftRight<16>(bits);
    const auto odd = hn::And(upper, hn::Set(words, 1));
    const auto nearest = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
    const auto quiet_nan = hn::Or(upper, hn::Set(words, 0x40));
    const auto is_nan = hn::RebindMask(words, hn::IsNaN(value));
    const auto rounded = hn::BitCast(integers, hn::IfThenElse(is_nan, quiet_nan, nearest));
    StoreUpTo(hn::DemoteTo(halves, rounded), halves, &y[i].bits, lanes);
  }
}

void WidenRow(float* y, const BFloat16* x, int64_t count) {
  const Floats d;
  const Words words;
  const HalfWords halves;
  const int64_t step = hn::Lanes(d);
  for (int64_t i = 0; i < count; i += step) {
    const int64_t lanes = std::min(step, count - i);
    const auto upper = hn::PromoteTo(words, LoadUpTo(halves, &x[i].bits, lanes));
    StoreUpTo(hn::BitCast(d, hn::ShiftLeft<16>(upper)), d, y + i, lanes);
  }
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer::cpu {
namespace {

HWY_EXPORT(RoundRow);
HWY_EXPORT(WidenRow);

}  // namespace

void RoundToBFloat16(BFloat16* y, const float* x, int64_t count) {
  HWY_DYNAMIC_DISPATCH(RoundRow)(y, x, count);
}

void WidenToFloat32(float* y, const BFloat16* x, int64_t count) {
  HWY_DYNAMIC_DISPATCH(WidenRow)(y, x, count);
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
