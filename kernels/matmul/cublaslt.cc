#include "kernels/matmul/cublaslt.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/runtime/check.h"

// cuBLASLt is column-major: a row-major c = op(a) op(b) is to it c^T = op(b)^T op(a)^T, with every
// matrix the transpose of ours and nothing moved.

namespace treeformer::cuda {
namespace {

void Destroy(cublasLtMatmulDesc_t description) noexcept {
  CUBLAS_CHECK(cublasLtMatmulDescDestroy(description));
}
void Destroy(cublasLtMatrixLayout_t layout) noexcept {
  CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(layout));
}
void Destroy(cublasLtMatmulPreference_t preference) noexcept {
  CUBLAS_CHECK(cublasLtMatmulPreferenceDestroy(preference));
}
using Description = Handle<cublasLtMatmulDesc_t, Destroy>;
using Layout = Handle<cublasLtMatrixLayout_t, Destroy>;
using Preference = Handle<cublasLtMatmulPreference_t, Destroy>;

cudaDataType_t TypeOf(DType dtype) {
  CHECK(dtype == DType::kBFloat16 || dtype == DType::kFloat32) << "on a GPU";
  return dtype == DType::kBFloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

// The first `rows` and `columns` of a row-major matrix, as cuBLASLt sees it.
Layout MakeLayout(In matrix, int64_t rows, int64_t columns) {
  cublasLtMatrixLayout_t layout;
  CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&layout, TypeOf(matrix.dtype()), columns, rows,
                                          /*ld=*/matrix.shape()[1]));
  return Layout(layout);
}

// The same of op(matrix) [rows, columns].
Layout MakeLayout(In matrix, Transpose transpose, int64_t rows, int64_t columns) {
  return transpose == Transpose::kYes ? MakeLayout(matrix, columns, rows)
                                      : MakeLayout(matrix, rows, columns);
}

cublasOperation_t OperationOf(Transpose transpose) {
  return transpose == Transpose::kYes ? CUBLAS_OP_T : CUBLAS_OP_N;
}

Description MakeDescription(const Product& product) {
  cublasLtMatmulDesc_t desc;
  CUBLAS_CHECK(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Description description(desc);
  const auto set = [desc](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, OperationOf(product.transpose_b));
  set(CUBLASLT_MATMUL_DESC_TRANSB, OperationOf(product.transpose_a));
  if (product.bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias.data());
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(product.bias.dtype()));
  }
  return description;
}

// Partial sums of a product that is cut along k stay float32, and are added in order.
Preference MakePreference(const Product& product, SplitK split_k) {
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
  const uint32_t reductions = split_k == SplitK::kYes ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                                      : CUBLASLT_REDUCTION_SCHEME_NONE;
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(product.b));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(product.a));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(product.c));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(product.c));
  return preference;
}

}  // namespace

bool MultiplyByLt(Context& ctx, const Product& product, SplitK split_k, View<float> workspace) {
  const GemmOperands& operands = product;
  const auto& [a, transpose_a, b, transpose_b, alpha, beta] = operands;
  const Out c = product.c;
  // A cuBLAS handle is a cuBLASLt handle too (cuBLAS manual, cublasLtHandle_t).
  const auto handle = reinterpret_cast<cublasLtHandle_t>(ctx.cublas());
  const Description description = MakeDescription(product);
  const Layout of_a = MakeLayout(a, transpose_a, product.M(), product.K());
  const Layout of_b = MakeLayout(b, transpose_b, product.K(), product.N());
  const Layout of_c = MakeLayout(c, product.M(), product.N());
  const Preference preference = MakePreference(product, split_k);
  cublasLtMatmulHeuristicResult_t best;
  int found = 0;  // cuBLASLt keeps its answers, so asking each time is cheap
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, description.get(), of_b.get(), of_a.get(), of_c.get(), of_c.get(), preference.get(),
      /*requestedAlgoCount=*/1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;  // so it says that it found none
  CUBLAS_CHECK(status);
  if (found == 0) return false;
  CUBLAS_CHECK(cublasLtMatmul(handle, description.get(), &alpha, b.data(), of_b.get(), a.data(),
                              of_a.get(), &beta, c.data(), of_c.get(), c.data(), of_c.get(),
                              &best.algo, workspace.data(), kWorkspaceBytes, ctx.stream()));
  return true;
}

void MultiplyByBlas(Context& ctx, const Product& product, View<float> workspace) {
  const GemmOperands& operands = product;
  const auto& [a, transpose_a, b, transpose_b, alpha, beta] = operands;
  const Out c = product.c;
  // Its own workspace would be new memory, which a stream that is recorded may not take.
  CUBLAS_CHECK(cublasSetWorkspace(ctx.cublas(), workspace.data(), kWorkspaceBytes));
  const auto extent = [](int64_t extent) {
    CHECK_LE(extent, std::numeric_limits<int>::max());
    return static_cast<int>(extent);
  };
  CUBLAS_CHECK(cublasGemmEx(
      ctx.cublas(), OperationOf(transpose_b), OperationOf(transpose_a), extent(product.N()),
      extent(product.M()), extent(product.K()), &alpha, b.data(), TypeOf(b.dtype()),
      extent(b.shape()[1]), a.data(), TypeOf(a.dtype()), extent(a.shape()[1]), &beta, c.data(),
      TypeOf(c.dtype()), extent(c.shape()[1]), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace treeformer::cuda
