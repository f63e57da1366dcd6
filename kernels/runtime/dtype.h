#pragma once

// The element types of a view.

#include <bit>
#include <cstdint>

namespace treeformer {

// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

inline float ToFloat32(float x) { return x; }
inline float ToFloat32(BFloat16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

enum class DType : uint8_t { kFloat32, kFloat64, kBFloat16, kInt32 };

template <typename T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType DTypeOf<BFloat16>() {
  return DType::kBFloat16;
}
template <>
constexpr DType DTypeOf<int32_t>() {
  return DType::kInt32;
}

// The type of what is kept or summed per row beside activations of `dtype`: float32 or wider.
constexpr DType StatisticsType(DType dtype) {
  return dtype == DType::kBFloat16 ? DType::kFloat32 : dtype;
}

constexpr int64_t SizeOf(DType dtype) {  // bytes
  switch (dtype) {
    case DType::kFloat64:
      return 8;
    case DType::kBFloat16:
      return 2;
    default:
      return 4;
  }
}

}  // namespace treeformer
