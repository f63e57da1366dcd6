#include "kernels/cuda/runner.h"
#include "kernels/tree/tc/tc_attention.h"
#include "kernels/tree/tc/tc_backward_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

TcSizes Sizes(const TcOperands& operands) {
  const In v = operands.v;
  const TreeShape& shape = operands.shape;
  CHECK_LT(shape.height(), kTcMaxLevels) << "TC-Attention: higher than its kernels' tables";
  CHECK_LE(shape.leaves(), int64_t{1} << 24) << "TC-Attention: more leaves than its kernels count";
  CHECK_LT(v.shape()[1], int64_t{1} << 24) << "TC-Attention: float32 counts tokens up to here";
  return TcSizes(shape, v.shape()[0], v.shape()[1], v.shape()[2], v.shape()[3]);
}

}  // namespace
}  // namespace cuda

void cuda::TcForward(Context& ctx, Out o, const TcOperands& operands) {
  const auto& [v, alpha, query_leaf, key_leaf, document, shape] = operands;
  for (In view : {In(o), v}) CheckAligned(view);
  Runner runner(ctx);
  RunTcForward(runner, o.as<BFloat16>().data(), v.as<BFloat16>().data(), alpha.as<float>().data(),
               query_leaf.data(), key_leaf.data(), document.data(), Sizes(operands));
}

void cuda::TcBackward(Context& ctx, const TcGradients& gradients, In d_o,
                      const TcOperands& operands) {
  const auto& [dv, dalpha, query_effect, key_effect] = gradients;
  const auto& [v, alpha, query_leaf, key_leaf, document, shape] = operands;
  for (In view : {In(dv), d_o, v}) CheckAligned(view);
  Runner runner(ctx);
  RunTcBackward(runner, dv.as<BFloat16>().data(), dalpha.as<float>().data(),
                query_effect.as<float>().data(), key_effect.as<float>().data(),
                d_o.as<BFloat16>().data(), v.as<BFloat16>().data(), alpha.as<float>().data(),
                query_leaf.data(), key_leaf.data(), document.data(), Sizes(operands));
}

void cuda::GainFromEffects(Context& ctx, Out gain, In effect, Ids leaf, Ids alternative) {
  Runner runner(ctx);
  RunGainFromEffects(runner, gain.as<float>().data(), effect.as<float>().data(), leaf.data(),
                     alternative.data(), leaf.count(), effect.shape()[3]);
}

}  // namespace treeformer
