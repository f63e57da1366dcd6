#pragma once

// Buffer: owns device memory.  Move-only; 64-byte aligned; zero when new.

#include "kernels/runtime/view.h"

namespace treeformer {

namespace runtime {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, DType dtype, Shape shape);
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  Out view() const { return Out(data_, dtype_, shape_, device_); }
  template <typename T>
  View<T> as() const {
    return view().as<T>();
  }
  operator Out() const { return view(); }
  operator In() const { return view(); }
  template <typename T>
  operator View<T>() const {
    return view();
  }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t bytes() const { return shape_.rank() == 0 ? 0 : shape_.count() * SizeOf(dtype_); }

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
  Device device_ = Device::kCpu;
};

// The allocator behind Buffer and Scratch; null for 0 bytes.  CUDA: cuda.cc.
void* Allocate(Device device, int64_t bytes);
void Free(Device device, void* data) noexcept;
void* AllocateCuda(int64_t bytes);         // not initialised; UserError where the GPU is full
void ZeroCuda(void* data, int64_t bytes);  // done on return
void FreeCuda(void* data) noexcept;        // once the GPU has done all that it was given
int64_t FreeCudaMemory();                  // bytes that the GPU of this host thread still has
// What the host's allocator keeps of freed memory goes back to the machine.
void ReturnFreedMemory();

}  // namespace runtime

using runtime::Buffer;

}  // namespace treeformer
