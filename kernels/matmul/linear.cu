#include "kernels/activation.h"
#include "kernels/cuda/launch.h"
#include "kernels/matmul/cublaslt.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/linear_kernels.cuh"

// The GELU epilogues of cuBLASLt are not used: NVIDIA's manual does not say whether they are the
// erf form of activation.h or the tanh one.

namespace treeformer {
namespace cuda {
namespace {

// c = bias in every row
void BroadcastBias(Context& ctx, Out c, In bias) {
  const int64_t N = bias.count();
  const Blocks blocks{DivideUp(N, kColumnThreads), std::min<int64_t>(c.shape()[0], 65535)};
  Launch(ctx, BroadcastBiasKernel, blocks, kColumnThreads, 0, c.as<BFloat16>().data(),
         bias.as<BFloat16>().data(), c.shape()[0], N, c.shape()[1]);
}

void Multiply(Context& ctx, Product product) {
  Scratch::Scope scope(ctx.scratch());
  const auto workspace = scope.Take<float>({kWorkspaceBytes / int64_t{sizeof(float)}});
  CheckAlignment(product, workspace);
  for (const SplitK split_k : {SplitK::kYes, SplitK::kNo}) {
    if (MultiplyByLt(ctx, product, split_k, workspace)) return;
  }
  LOG_FIRST_N(WARNING, 1) << "cuBLASLt knows no algorithm for a product of " << product.M() << " x "
                          << product.K() << " and " << product.K() << " x " << product.N()
                          << ": cuBLAS makes it";
  if (product.bias) {
    BroadcastBias(ctx, product.c, product.bias);
    product.beta = 1;
  }
  MultiplyByBlas(ctx, product, workspace);
}

// Multiply where the sum over k may be empty: one product of zeros.
void MultiplyAny(Context& ctx, const Product& product) {
  if (product.a.count() > 0) return Multiply(ctx, product);
  Scratch::Scope scope(ctx.scratch());
  const Out left = scope.Take(product.a.dtype(), {product.M(), 1});
  const Out right = scope.Take(product.b.dtype(), {1, product.N()});
  Zero(ctx, left);
  Zero(ctx, right);
  Multiply(ctx, {{left, Transpose::kNo, right, Transpose::kNo, product.alpha, product.beta},
                 product.c,
                 product.bias});
}

// dbias += sum_n dy_n
void AddBiasGradient(Context& ctx, Acc dbias, In dy) {
  const int64_t N = dy.shape()[0], O = dbias.count(), ld = dy.shape()[1];
  const int64_t chunks = ColumnChunks(N);
  const bool vectors = ld % 8 == 0 && AllowsVectors(O, {dy});
  const int width = vectors ? 8 : 1;
  Scratch::Scope scope(ctx.scratch());
  const View<float> partial = scope.Take<float>({chunks, O});
  const Blocks tiles{chunks, DivideUp(O, ColumnTile(width))};
  const auto kernel = vectors ? BiasPartialsKernel<8> : BiasPartialsKernel<1>;
  Launch(ctx, kernel, tiles, kColumnThreads, ColumnSharedBytes(width, /*sums=*/1), partial.data(),
         dy.as<BFloat16>().data(), N, O, ld);
  Launch(ctx, BiasAddPartialsKernel, {DivideUp(O, kColumnThreads)}, kColumnThreads, 0,
         dbias.as<float>().data(), partial.data(), chunks, O);
}

}  // namespace
}  // namespace cuda

void cuda::Gemm(Context& ctx, Out c, const GemmOperands& operands) {
  MultiplyAny(ctx, {operands, c, /*bias=*/In()});
}

void cuda::LinearForward(Context& ctx, Out y, In x, In w, In bias) {
  MultiplyAny(ctx, {{x, Transpose::kNo, w, Transpose::kYes}, y, bias});
}

void cuda::LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias) {
  cuda::LinearForward(ctx, pre, x, w, bias);
  cuda::GeluForward(ctx, y, pre);
}

void cuda::LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate) {
  const float beta = accumulate ? 1 : 0;
  MultiplyAny(ctx, {{dy, Transpose::kNo, w, Transpose::kNo, /*alpha=*/1, beta}, dx, /*bias=*/In()});
}

void cuda::LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x) {
  if (dw.count() > 0) {
    Multiply(ctx, {{dy, Transpose::kYes, x, Transpose::kNo, /*alpha=*/1, /*beta=*/1},
                   dw,
                   /*bias=*/In()});
  }
  if (dbias) AddBiasGradient(ctx, dbias, dy);
}

}  // namespace treeformer
