// cuBLASLt of the emulated GPU: the CPU's product of float32, rounded once at the end.

#include <algorithm>
#include <atomic>
#include <limits>

#include "kernels/emulation/emulated_device.h"
#include "kernels/matmul/cublaslt.h"
#include "kernels/runtime/bfloat16.h"

namespace treeformer::cuda {
namespace {

std::atomic<int> every_unknown{0}, requests{0};

// The first `rows` and `columns`.
Buffer Widen(In matrix, int64_t rows, int64_t columns) {
  Buffer wide(Device::kCpu, DType::kFloat32, {rows, columns});
  for (int64_t row = 0; row < rows; ++row) {
    float* values = wide.as<float>().data() + row * columns;
    const int64_t begin = row * matrix.shape()[1];
    if (matrix.dtype() == DType::kFloat32) {
      std::copy_n(matrix.as<float>().data() + begin, columns, values);
    } else {
      cpu::WidenToFloat32(values, matrix.as<BFloat16>().data() + begin, columns);
    }
  }
  return wide;
}
Buffer Widen(In matrix, Transpose transpose, int64_t rows, int64_t columns) {
  return transpose == Transpose::kYes ? Widen(matrix, columns, rows) : Widen(matrix, rows, columns);
}

void Round(Out matrix, View<const float> values) {
  const int64_t columns = values.shape()[1];
  for (int64_t row = 0; row < values.shape()[0]; ++row) {
    const float* from = values.data() + row * columns;
    const int64_t begin = row * matrix.shape()[1];
    if (matrix.dtype() == DType::kFloat32) {
      std::copy_n(from, columns, matrix.as<float>().data() + begin);
    } else {
      cpu::RoundToBFloat16(matrix.as<BFloat16>().data() + begin, from, columns);
    }
  }
}

void MultiplyOnHost(const Product& product) {
  const Out c = product.c;
  const In bias = product.bias;
  GemmOperands wide = product;
  const int64_t M = product.M(), N = product.N(), K = product.K();
  Context host = Context::Cpu();
  const Buffer sums = Widen(c, M, N);
  const Buffer a = Widen(product.a, product.transpose_a, M, K);
  const Buffer b = Widen(product.b, product.transpose_b, K, N);
  wide.a = a, wide.b = b;
  treeformer::Gemm(host, sums, wide);
  const View<float> values = sums;
  if (bias) {
    const Buffer shift = Widen(bias.Reshaped({1, N}), 1, N);
    const View<float> shifts = shift;
    for (int64_t i = 0; i < values.count(); ++i) values[i] += shifts[i % N];
  }
  Round(c, values);
}

// Both ends of the workspace are overwritten: what is kept there is lost.
void GiveProduct(Product product, bool with_bias, View<float> workspace) {
  if (!with_bias) product.bias = In();
  emulation::Give([=](const auto&) {
    for (const int64_t end : {int64_t{0}, workspace.count() - 64}) {
      std::fill_n(workspace.data() + end, 64, std::numeric_limits<float>::quiet_NaN());
    }
    MultiplyOnHost(product);
  });
}

}  // namespace

bool MultiplyByLt(Context&, const Product& product, SplitK, View<float> workspace) {
  if (every_unknown > 0 && ++requests % every_unknown == 0) return false;
  GiveProduct(product, /*with_bias=*/true, workspace);
  return true;
}

void MultiplyByBlas(Context&, const Product& product, View<float> workspace) {
  GiveProduct(product, /*with_bias=*/false, workspace);
}

}  // namespace treeformer::cuda

namespace treeformer::emulation {

void MakeProductsUnknown(int every) {
  cuda::requests = 0;
  cuda::every_unknown = every;
}

}  // namespace treeformer::emulation
