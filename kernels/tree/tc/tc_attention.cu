#include "kernels/cuda/runner.h"
#include "kernels/tree/tc/tc_attention.h"
#include "kernels/tree/tc/tc_backward_kernels.cuh"

namespace treeformer::cuda {
namespace {

TcSizes Sizes(In v, const TreeShape& shape) {
  CHECK_LT(shape.height(), kTcMaxLevels) << "TC-Attention: higher than its kernels' tables";
  CHECK_LE(shape.leaves(), int64_t{1} << 24) << "TC-Attention: more leaves than its kernels count";
  CHECK_LT(v.shape()[1], int64_t{1} << 24) << "TC-Attention: float32 counts tokens up to here";
  return TcSizes(shape, v.shape()[0], v.shape()[1], v.shape()[2], v.shape()[3]);
}

}  // namespace

void TcForward(Context& ctx, Out o, In v, In alpha, Ids query_leaf, Ids key_leaf, Ids document,
               const TreeShape& shape) {
  for (In view : {In(o), v}) CheckAligned(view);
  Runner runner(ctx);
  RunTcForward(runner, o.as<BFloat16>().data(), v.as<BFloat16>().data(), alpha.as<float>().data(),
               query_leaf.data(), key_leaf.data(), document.data(), Sizes(v, shape));
}

void TcBackward(Context& ctx, Out dv, Acc dalpha, Out query_effect, Out key_effect, In d_o, In v,
                In alpha, Ids query_leaf, Ids key_leaf, Ids document, const TreeShape& shape) {
  for (In view : {In(dv), d_o, v}) CheckAligned(view);
  Runner runner(ctx);
  RunTcBackward(runner, dv.as<BFloat16>().data(), dalpha.as<float>().data(),
                query_effect.as<float>().data(), key_effect.as<float>().data(),
                d_o.as<BFloat16>().data(), v.as<BFloat16>().data(), alpha.as<float>().data(),
                query_leaf.data(), key_leaf.data(), document.data(), Sizes(v, shape));
}

void GainFromEffects(Context& ctx, Out gain, In effect, Ids leaf, Ids alternative) {
  Runner runner(ctx);
  RunGainFromEffects(runner, gain.as<float>().data(), effect.as<float>().data(), leaf.data(),
                     alternative.data(), leaf.count(), effect.shape()[3]);
}

}  // namespace treeformer::cuda
