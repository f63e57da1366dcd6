#pragma once

// View<T>: a typed window on memory that somebody else owns.  Row-major and
// contiguous, always.  Small, so pass it by value.
//
// In, Out, Acc: the same without the type in the signature; the element type is
// a value (DType), so that one model runs in float32, in float64 (the tests of
// the derivative) and, on a GPU, in bfloat16.  They turn back into a View<T>
// where an operation is implemented; a wrong T is fatal.

#include <glog/logging.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <type_traits>

#include "kernels/runtime/dtype.h"

namespace treeformer {

enum class Device { kCpu, kCuda };

// Up to four extents; count() is in elements, never in bytes.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    CHECK_LE(extents.size(), extents_.size());
    for (int64_t extent : extents) extents_[rank_++] = extent;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const {
    CHECK(0 <= axis && axis < rank_) << "axis " << axis << " of " << *this;
    return extents_[axis];
  }
  int64_t count() const {
    int64_t count = 1;
    for (int axis = 0; axis < rank_; ++axis) count *= extents_[axis];
    return count;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.extents_ == b.extents_;
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '[';
    for (int axis = 0; axis < shape.rank_; ++axis) {
      out << (axis ? ", " : "") << shape.extents_[axis];
    }
    return out << ']';
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

template <typename T>
class View {
 public:
  View() = default;
  View(T* data, Shape shape, Device device = Device::kCpu)
      : data_(data), shape_(shape), device_(device) {}

  // A writable view may be read.
  template <typename U>
  requires std::is_same_v<const U, T> View(const View<U>& view)
      : View(view.data(), view.shape(), view.device()) {}

  T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return shape_.count(); }
  Device device() const { return device_; }
  explicit operator bool() const { return data_ != nullptr; }

  T& operator[](int64_t i) const { return data_[i]; }

  // The same elements under another shape.
  View Reshaped(Shape shape) const {
    CHECK_EQ(shape.count(), count());
    return View(data_, shape, device_);
  }
  // Rows [begin, end) of the first axis.
  View Rows(int64_t begin, int64_t end) const;

 private:
  T* data_ = nullptr;
  Shape shape_;
  Device device_ = Device::kCpu;
};

namespace view_internal {

inline Shape RowsShape(const Shape& shape, int64_t begin, int64_t end) {
  CHECK(0 <= begin && begin <= end && end <= shape[0]) << begin << ", " << end << " of " << shape;
  switch (shape.rank()) {
    case 1:
      return {end - begin};
    case 2:
      return {end - begin, shape[1]};
    case 3:
      return {end - begin, shape[1], shape[2]};
    default:
      return {end - begin, shape[1], shape[2], shape[3]};
  }
}

inline int64_t RowCount(const Shape& shape) {  // elements in one row of the first axis
  return RowsShape(shape, 0, shape[0] > 0 ? 1 : 0).count();
}

}  // namespace view_internal

template <typename T>
View<T> View<T>::Rows(int64_t begin, int64_t end) const {
  return View(data_ + begin * view_internal::RowCount(shape_),
              view_internal::RowsShape(shape_, begin, end), device_);
}

// Void is `void` (writable) or `const void`.
template <typename Void>
class AnyView {
 public:
  AnyView() = default;
  AnyView(Void* data, DType dtype, Shape shape, Device device = Device::kCpu)
      : data_(data), dtype_(dtype), shape_(shape), device_(device) {}

  template <typename T>
  requires std::is_convertible_v<T*, Void*> AnyView(const View<T>& view)
      : AnyView(view.data(), DTypeOf<std::remove_const_t<T>>(), view.shape(), view.device()) {}

  // A writable view may be read.
  template <typename Other>
  requires(std::is_const_v<Void> && !std::is_const_v<Other>) AnyView(const AnyView<Other>& view)
      : AnyView(view.data(), view.dtype(), view.shape(), view.device()) {}

  Void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return shape_.count(); }
  int64_t bytes() const { return count() * SizeOf(dtype_); }
  Device device() const { return device_; }
  explicit operator bool() const { return data_ != nullptr; }

  template <typename T>
  requires(!std::is_const_v<Void> || std::is_const_v<T>) operator View<T>() const {
    CHECK(dtype_ == DTypeOf<std::remove_const_t<T>>() || data_ == nullptr) << "wrong element type";
    return View<T>(static_cast<T*>(data_), shape_, device_);
  }
  template <typename T>
  auto as() const {
    using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;
    return static_cast<View<Element>>(*this);
  }

  AnyView Reshaped(Shape shape) const {
    CHECK_EQ(shape.count(), count());
    return AnyView(data_, dtype_, shape, device_);
  }
  AnyView Rows(int64_t begin, int64_t end) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    const int64_t offset = begin * view_internal::RowCount(shape_) * SizeOf(dtype_);
    return AnyView(static_cast<Byte*>(data_) + offset, dtype_,
                   view_internal::RowsShape(shape_, begin, end), device_);
  }

 private:
  Void* data_ = nullptr;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
  Device device_ = Device::kCpu;
};

using In = AnyView<const void>;  // read
using Out = AnyView<void>;       // overwritten:  y  = ...
using Acc = AnyView<void>;       // accumulated:  dw += ...

}  // namespace treeformer
