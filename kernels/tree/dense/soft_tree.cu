#include "kernels/cuda/runner.h"
#include "kernels/tree/dense/soft_tree.h"
#include "kernels/tree/dense/soft_tree_kernels.cuh"

namespace treeformer {

void cuda::SoftTreeBackward(Context& ctx, const RouterGradients& gradients, In effect,
                            const RouterOperands& router, In strength, Ids leaf) {
  const auto& [dweight, dbias, dx] = gradients;
  const auto& [x, weight, bias, shape] = router;
  CHECK_LE(shape.height(), kSoftTreeMaxGpuHeight) << "the dense gradient of a tree on a GPU";
  const SoftSizes sizes{x.shape()[0], x.shape()[1],   x.shape()[2],          weight.shape()[0],
                        x.shape()[3], shape.height(), effect.shape()[2] == 1};
  Runner runner(ctx);
  RunSoftTreeBackward(runner, dweight.as<float>().data(), dbias.as<float>().data(),
                      dx.as<BFloat16>().data(), effect.as<float>().data(), x.as<BFloat16>().data(),
                      weight.as<float>().data(), bias.as<float>().data(),
                      strength.as<float>().data(), leaf.data(), sizes);
}

void cuda::BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight) {
  Runner runner(ctx);
  RunBalanceEffect(runner, effect.as<float>().data(), leaf.data(),
                   leaf.shape()[0] * leaf.shape()[1], leaf.shape()[2], effect.shape()[3], weight);
}

}  // namespace treeformer
