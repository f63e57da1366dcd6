#pragma once

// What the tests on a GPU share, real or emulated: its context, and operands there.  Launchers and
// what is behind them run; the kernels alone: *_emulated_test.cc.

#include <optional>

#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer::emulated_testing {

class DeviceTest : public testing::Test {
 protected:
  template <typename T>
  using Tensor = dense_testing::Tensor<T>;

  void SetUp() override {
    if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
    ctx_.emplace(Context::Cuda(/*index=*/0));
  }

  template <typename T>
  Tensor<T> Put(const std::vector<T>& values, const Shape& shape) {
    return {*ctx_, shape, values};
  }
  Tensor<BFloat16> Output(const Shape& shape) { return Put(Unwritten(shape.count()), shape); }
  Tensor<float> FloatOutput(const Shape& shape) { return {*ctx_, shape}; }
  // Filled with what no operation writes: -1 stands for padding.
  Tensor<int32_t> IdOutput(const Shape& shape) {
    return Put(std::vector<int32_t>(shape.count(), -7), shape);
  }

  std::optional<Context> ctx_;
};

}  // namespace treeformer::emulated_testing
