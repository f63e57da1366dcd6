// Vectors of up to a whole register, for one loop without a separate tail.  Included once per
// target of Highway's foreach_target, so no #pragma once.
//
//   const hn::ScalableTag<float> d;
//   for (int64_t i = 0; i < count; i += hn::Lanes(d)) {
//     const int64_t lanes = std::min<int64_t>(hn::Lanes(d), count - i);
//     StoreUpTo(hn::Neg(LoadUpTo(d, x + i, lanes)), d, y + i, lanes);
//   }

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#if defined(KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_SIMD_INL_H_
#undef KERNELS_SIMD_INL_H_
#else
#define KERNELS_SIMD_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The first `lanes` elements at p, then `fill`.
template <typename D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadUpTo(D d, const T* p, int64_t lanes, T fill = 0) {
  if (lanes == static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, p);
  HWY_ALIGN T part[hn::MaxLanes(D())];
  hn::Store(hn::Set(d, fill), d, part);
  std::memcpy(part, p, lanes * sizeof(T));
  return hn::Load(d, part);
}

template <typename D, typename T = hn::TFromD<D>>
HWY_INLINE void StoreUpTo(hn::Vec<D> v, D d, T* p, int64_t lanes) {
  if (lanes == static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(v, d, p);
    return;
  }
  HWY_ALIGN T part[hn::MaxLanes(D())];
  hn::Store(v, d, part);
  std::memcpy(p, part, lanes * sizeof(T));
}

}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#endif
