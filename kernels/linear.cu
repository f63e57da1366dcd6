#include <cublasLt.h>

#include "kernels/cuda/launch.h"
#include "kernels/linear.h"
#include "kernels/linear_kernels.cuh"

// cuBLASLt is column-major: a row-major c = op(a) op(b) is to it c^T = op(b)^T op(a)^T, with every
// matrix the transpose of ours and nothing moved.
//
// Its GELU epilogues are not used: NVIDIA's manual does not say whether they are the erf form of
// activation.h or the tanh one.

namespace cuda {

void GeluForward(Context& ctx, Out y, In x);  // activation.cu

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

// c = alpha op(a) op(b) + beta c + bias; the sum over k is not empty, bias may be null.
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

// The same where the sum over k may be empty: one product of zeros.
void MultiplyAny(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
                 float alpha, float beta, In bias) {
  if (a.count() > 0) {
    return Multiply(ctx, c, a, transpose_a, b, transpose_b, alpha, beta, bias);
  }
  Scratch::Scope scope(ctx.scratch());
  const Out left = scope.Take(a.dtype(), {c.shape()[0], 1});
  const Out right = scope.Take(b.dtype(), {1, c.shape()[1]});
  Zero(ctx, left);
  Zero(ctx, right);
  Multiply(ctx, c, left, Transpose::kNo, right, Transpose::kNo, alpha, beta, bias);
}

// dbias += sum_n dy_n
void AddBiasGradient(Context& ctx, Acc dbias, In dy) {
  const int64_t N = dy.shape()[0], O = dy.shape()[1], chunks = ColumnChunks(N);
  const bool vectors = AllowsVectors(O, {dy});
  const int width = vectors ? 8 : 1;
  Scratch::Scope scope(ctx.scratch());
  const View<float> partial = scope.Take<float>({chunks, O});
  const dim3 tiles(BlockCount(chunks, 1), BlockCount(O, ColumnTile(width)));
  const auto kernel = vectors ? BiasPartialsKernel<8> : BiasPartialsKernel<1>;
  kernel<<<tiles, kColumnThreads, ColumnSharedBytes(width, /*sums=*/1), ctx.stream()>>>(
      partial.data(), dy.as<BFloat16>().data(), N, O);
  KERNEL_CHECK(ctx.stream());
  BiasAddPartialsKernel<<<BlockCount(O, kColumnThreads), kColumnThreads, 0, ctx.stream()>>>(
      dbias.as<float>().data(), partial.data(), chunks, O);
  KERNEL_CHECK(ctx.stream());
}

}  // namespace

void Gemm(Context& ctx, Out c, In a, Transpose transpose_a, In b, Transpose transpose_b,
          float alpha, float beta) {
  MultiplyAny(ctx, c, a, transpose_a, b, transpose_b, alpha, beta, /*bias=*/In());
}

void LinearForward(Context& ctx, Out y, In x, In w, In bias) {
  MultiplyAny(ctx, y, x, Transpose::kNo, w, Transpose::kYes, /*alpha=*/1, /*beta=*/0, bias);
}

void LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias) {
  cuda::LinearForward(ctx, pre, x, w, bias);
  cuda::GeluForward(ctx, y, pre);
}

void LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate) {
  MultiplyAny(ctx, dx, dy, Transpose::kNo, w, Transpose::kNo, /*alpha=*/1, accumulate ? 1 : 0,
              /*bias=*/In());
}

void LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x) {
  if (dw.count() > 0) {
    Multiply(ctx, dw, dy, Transpose::kYes, x, Transpose::kNo, /*alpha=*/1, /*beta=*/1,
             /*bias=*/In());
  }
  if (dbias) AddBiasGradient(ctx, dbias, dy);
}

}  // namespace cuda
