#include "kernels/cuda/launch.h"
#include "kernels/residual.h"
#include "kernels/residual_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

// y = x + dropout(branch); x may be null: 0.
void AddDropped(Context& ctx, Out y, In x, In branch, const Dropout& dropout) {
  const int64_t count = y.count();
  const bool vectors = AllowsVectors(/*columns=*/8, {y, x, branch});
  const auto kernel = vectors ? AddDropoutKernel<8> : AddDropoutKernel<1>;
  const int64_t blocks = DivideUp(count, kResidualThreads * (vectors ? 8 : 1));
  Launch(ctx, kernel, {blocks}, kResidualThreads, 0, y.as<BFloat16>().data(),
         x.as<BFloat16>().data(), branch.as<BFloat16>().data(), dropout, count);
}

}  // namespace
}  // namespace cuda

void cuda::ApplyDropout(Context& ctx, Out y, In x, const Dropout& dropout) {
  if (!dropout.enabled() && y.data() == x.data()) return;
  AddDropped(ctx, y, /*x=*/In(), /*branch=*/x, dropout);
}

void cuda::AddResidual(Context& ctx, Out y, In x, In branch, const Dropout& dropout) {
  AddDropped(ctx, y, x, branch, dropout);
}

}  // namespace treeformer
