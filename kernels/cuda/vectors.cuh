#pragma once

// Neighbouring elements as floats, whatever their type in memory: kWidth = 8 by 16-byte accesses,
// for which the address is a multiple of 16, or kWidth = 1.

#include "kernels/cuda/device.cuh"

namespace treeformer::device {

struct alignas(16) Floats4 {
  float value[4];
};

template <int kWidth>
DEVICE void LoadFloats(float (&value)[kWidth], const BFloat16* from) {
  static_assert(kWidth == 8 || kWidth == 1);
  if constexpr (kWidth == 8) {
    Unpack(value, Load<Vector16>(from));
  } else {
    value[0] = ToFloat(*from);
  }
}
template <int kWidth>
DEVICE void StoreFloats(BFloat16* to, const float (&value)[kWidth]) {
  static_assert(kWidth == 8 || kWidth == 1);
  if constexpr (kWidth == 8) {
    Store(to, Pack(value));
  } else {
    *to = ToBFloat16(value[0]);
  }
}

template <int kWidth>
DEVICE void LoadFloats(float (&value)[kWidth], const float* from) {
  static_assert(kWidth == 8 || kWidth == 1);
  if constexpr (kWidth == 8) {
    const Floats4 low = Load<Floats4>(from), high = Load<Floats4>(from + 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      value[i] = low.value[i];
      value[4 + i] = high.value[i];
    }
  } else {
    value[0] = *from;
  }
}
template <int kWidth>
DEVICE void StoreFloats(float* to, const float (&value)[kWidth]) {
  static_assert(kWidth == 8 || kWidth == 1);
  if constexpr (kWidth == 8) {
    Store(to, Floats4{{value[0], value[1], value[2], value[3]}});
    Store(to + 4, Floats4{{value[4], value[5], value[6], value[7]}});
  } else {
    *to = value[0];
  }
}

}  // namespace treeformer::device
