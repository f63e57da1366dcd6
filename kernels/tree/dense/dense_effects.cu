#include <cmath>

#include "kernels/cuda/runner.h"
#include "kernels/tree/dense/dense_effects_kernels.cuh"

namespace treeformer {

void cuda::DenseLeafEffects(Context& ctx, Out query_effect, Out key_effect,
                            const DenseOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, query_leaf, key_leaf, document, options] = operands;
  const int64_t e = q.shape()[3];
  const DenseSizes sizes{q.shape()[0],
                         q.shape()[1],
                         q.shape()[2],
                         e,
                         query_effect.shape()[3],
                         1 / std::sqrt(static_cast<float>(e))};
  const DenseArguments arguments{
      d_o.as<BFloat16>().data(), q.as<BFloat16>().data(), k.as<BFloat16>().data(),
      v.as<BFloat16>().data(),   lse.as<float>().data(),  delta.as<float>().data(),
      query_leaf.data(),         key_leaf.data(),         document.data()};
  Runner runner(ctx);
  RunDenseLeafEffects(runner, query_effect.as<float>().data(), key_effect.as<float>().data(),
                      arguments, sizes, options);
}

}  // namespace treeformer
