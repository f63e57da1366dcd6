// What tests/gdb/check_printers.cmake looks at in a debugger.

#include <numeric>
#include <vector>

#include "kernels/runtime/context.h"

using treeformer::BFloat16;
using treeformer::Buffer;
using treeformer::Device;
using treeformer::DType;
using treeformer::In;
using treeformer::Shape;
using treeformer::View;

__attribute__((noinline)) void Stop(const View<const float>& view) {
  asm volatile("" ::"r"(&view));
}

int main() {
  std::vector<float> values(300);
  std::iota(values.begin(), values.end(), 0.5f);
  std::vector<BFloat16> halves = {{0x3f80}, {0xc040}};  // 1 and -3
  const Shape shape = {2, 3};
  const View<const float> view(values.data(), shape);
  const View<float> large(values.data(), {300});
  const View<BFloat16> rounded(halves.data(), {2});
  const In any = View<const float>(view).Rows(1, 2);
  const View<float> none;
  const View<float> on_gpu(values.data(), shape, Device::kCuda);
  const Buffer buffer(Device::kCpu, DType::kInt32, {4, 1});
  Stop(view);
  return static_cast<int>(large.count() + rounded.count() + any.count() + none.count() +
                          on_gpu.count() + buffer.bytes()) == 0;
}
