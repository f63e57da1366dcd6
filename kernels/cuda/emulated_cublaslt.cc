// cuBLASLt of the emulated GPU: the CPU's product of float32, rounded once at the end.

#include <cstring>

#include "kernels/bfloat16.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/emulated_device.h"

namespace cuda {
namespace {

Buffer Widen(In matrix) {
  Buffer wide(Device::kCpu, DType::kFloat32, matrix.shape());
  float* values = wide.as<float>().data();
  if (matrix.dtype() == DType::kFloat32) {
    std::memcpy(values, matrix.data(), matrix.bytes());
  } else {
    cpu::WidenToFloat32(values, matrix.as<BFloat16>().data(), matrix.count());
  }
  return wide;
}

void MultiplyOnHost(Out c, In a, Transpose transpose_a, In b, Transpose transpose_b, float alpha,
                    float beta, In bias) {
  Context host = Context::Cpu();
  const Buffer product = Widen(c);
  ::Gemm(host, product, Widen(a), transpose_a, Widen(b), transpose_b, alpha, beta);
  const View<float> sums = product;
  if (bias) {
    const Buffer shift = Widen(bias);
    const View<float> shifts = shift;
    for (int64_t i = 0; i < sums.count(); ++i) sums[i] += shifts[i % shifts.count()];
  }
  if (c.dtype() == DType::kFloat32) {
    std::memcpy(c.data(), sums.data(), c.bytes());
  } else {
    cpu::RoundToBFloat16(c.as<BFloat16>().data(), sums.data(), sums.count());
  }
}

}  // namespace

void Multiply(Context&, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
              float alpha, float beta, In bias) {
  emulation::Give(
      [=](const auto&) { MultiplyOnHost(c, a, transpose_a, b, transpose_b, alpha, beta, bias); });
}

}  // namespace cuda
