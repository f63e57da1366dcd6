#include "kernels/activation.h"
#include "kernels/activation_kernels.cuh"
#include "kernels/cuda/launch.h"

namespace treeformer {

void cuda::GeluForward(Context& ctx, Out y, In x) {
  for (In view : {In(y), x}) CheckAligned(view);
  Launch(ctx, GeluForwardKernel, {DivideUp(x.count(), kGeluPerBlock)}, kGeluThreads, 0,
         y.as<BFloat16>().data(), x.as<BFloat16>().data(), x.count());
}

void cuda::GeluBackward(Context& ctx, Out dx, In dy, In x) {
  for (In view : {In(dx), dy, x}) CheckAligned(view);
  Launch(ctx, GeluBackwardKernel, {DivideUp(x.count(), kGeluPerBlock)}, kGeluThreads, 0,
         dx.as<BFloat16>().data(), dy.as<BFloat16>().data(), x.as<BFloat16>().data(), x.count());
}

}  // namespace treeformer
