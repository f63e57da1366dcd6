#include "kernels/cuda/cublaslt.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/check.h"

// cuBLASLt is column-major: a row-major c = op(a) op(b) is to it c^T = op(b)^T op(a)^T, with every
// matrix the transpose of ours and nothing moved.

namespace cuda {
namespace {

void Destroy(cublasLtMatmulDesc_t product) noexcept {
  CUBLAS_CHECK(cublasLtMatmulDescDestroy(product));
}
void Destroy(cublasLtMatrixLayout_t layout) noexcept {
  CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(layout));
}
void Destroy(cublasLtMatmulPreference_t preference) noexcept {
  CUBLAS_CHECK(cublasLtMatmulPreferenceDestroy(preference));
}
using Product = Handle<cublasLtMatmulDesc_t, Destroy>;
using Layout = Handle<cublasLtMatrixLayout_t, Destroy>;
using Preference = Handle<cublasLtMatmulPreference_t, Destroy>;

constexpr int64_t kWorkspaceBytes = 32 << 20;  // what NVIDIA recommends for sm_90

cudaDataType_t TypeOf(DType dtype) {
  CHECK(dtype == DType::kBFloat16 || dtype == DType::kFloat32) << "on a GPU";
  return dtype == DType::kBFloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

// Of a row-major matrix, as cuBLASLt sees it.
Layout MakeLayout(In matrix) {
  const int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  cublasLtMatrixLayout_t layout;
  CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&layout, TypeOf(matrix.dtype()), columns, rows, columns));
  return Layout(layout);
}

Product MakeProduct(Transpose transpose_a, Transpose transpose_b, In bias) {
  cublasLtMatmulDesc_t desc;
  CUBLAS_CHECK(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Product product(desc);
  const auto set = [desc](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
  };
  const auto operation = [](Transpose transpose) {
    return transpose == Transpose::kYes ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, operation(transpose_b));
  set(CUBLASLT_MATMUL_DESC_TRANSB, operation(transpose_a));
  if (bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data());
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(bias.dtype()));
  }
  return product;
}

// Partial sums of a product that is cut along k stay float32, and are added in order.
Preference MakePreference(In c, In a, In b) {
  cublasLtMatmulPreference_t handle;
  CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&handle));
  Preference preference(handle);
  const auto set = [handle](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(handle, attribute, &value, sizeof(value)));
  };
  const auto alignment = [](In view) {  // bytes; 256 is cuBLASLt's largest
    const auto address = reinterpret_cast<uintptr_t>(view.data());
    return static_cast<uint32_t>(std::min<uintptr_t>(256, address & (~address + 1)));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));
  return preference;
}

}  // namespace

void Multiply(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
              float alpha, float beta, In bias) {
  // A cuBLAS handle is a cuBLASLt handle too (cuBLAS manual, cublasLtHandle_t).
  const auto handle = reinterpret_cast<cublasLtHandle_t>(ctx.cublas());
  const Product product = MakeProduct(transpose_a, transpose_b, bias);
  const Layout of_a = MakeLayout(a), of_b = MakeLayout(b), of_c = MakeLayout(c);
  const Preference preference = MakePreference(c, a, b);
  cublasLtMatmulHeuristicResult_t best;
  int found = 0;  // cuBLASLt keeps its answers, so asking each time is cheap
  CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle, product.get(), of_b.get(), of_a.get(),
                                              of_c.get(), of_c.get(), preference.get(),
                                              /*requestedAlgoCount=*/1, &best, &found));
  CHECK_EQ(found, 1) << "cuBLASLt has no way to make " << c.shape();
  Scratch::Scope scope(ctx.scratch());
  const View<float> workspace = scope.Take<float>({kWorkspaceBytes / int64_t{sizeof(float)}});
  CUBLAS_CHECK(cublasLtMatmul(handle, product.get(), &alpha, b.data(), of_b.get(), a.data(),
                              of_a.get(), &beta, c.data(), of_c.get(), c.data(), of_c.get(),
                              &best.algo, workspace.data(), kWorkspaceBytes, ctx.stream()));
}

}  // namespace cuda
