#pragma once

// The runner (kernels/cuda/runner.h) that emulates.  Its memory is filled with 0xff (NaN, -1).  A
// launch in which rows of a LoadMatrix share banks fails the test.

#include <memory>

#include "kernels/cuda/blocks.h"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer::emulated_testing {

class EmulatedRunner {
 public:
  explicit EmulatedRunner(const emulation::Options& options) : options_(options) {}

  template <typename T>
  T* Take(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    memory_.push_back(std::make_unique<device::Vector16[]>(bytes / 16 + 1));
    std::memset(memory_.back().get(), 0xff, bytes);
    return reinterpret_cast<T*>(memory_.back().get());
  }

  template <typename... Parameters, typename... Arguments>
  void Launch(void (*kernel)(Parameters...), cuda::Blocks blocks, int threads, int64_t shared_bytes,
              const Arguments&... arguments) {
    const emulation::Grid grid{static_cast<int>(blocks.x), static_cast<int>(blocks.y)};
    const emulation::Report report =
        emulation::Launch(grid, threads, shared_bytes, options_, kernel, arguments...);
    EXPECT_EQ(report.bank_conflicts, 0);
  }

 private:
  emulation::Options options_;
  std::vector<std::unique_ptr<device::Vector16[]>> memory_;
};

}  // namespace treeformer::emulated_testing
