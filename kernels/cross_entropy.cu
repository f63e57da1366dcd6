#include "kernels/cross_entropy.h"
#include "kernels/cross_entropy_kernels.cuh"
#include "kernels/cuda/launch.h"

namespace treeformer {

void cuda::SoftmaxCrossEntropy(Context& ctx, Out loss, View<int32_t> correct, Out logits, int64_t V,
                               Indices target, bool gradient) {
  const int64_t M = logits.shape()[0], ld = logits.shape()[1];
  CHECK_LE(V, std::numeric_limits<int>::max() / 2);
  Launch(ctx, CrossEntropyKernel, {M}, kCrossEntropyThreads, kCrossEntropySharedBytes,
         loss.as<float>().data(), correct.data(), logits.as<BFloat16>().data(), target.data(),
         static_cast<int>(V), ld, gradient);
}

void cuda::AddLossSums(Context& ctx, View<double> sums, In loss, Indices correct) {
  Launch(ctx, AddLossSumsKernel, {1}, kCrossEntropyThreads, kLossSumsSharedBytes, sums.data(),
         loss.as<float>().data(), correct.data(), loss.count());
}

}  // namespace treeformer
