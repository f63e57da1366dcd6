#include "kernels/activation_kernels.cuh"
#include "kernels/cuda/launch.h"

namespace cuda {

void GeluForward(Context& ctx, Out y, In x) {
  for (In view : {In(y), x}) CheckAligned(view);
  GeluForwardKernel<<<BlockCount(x.count(), kGeluPerBlock), kGeluThreads, 0, ctx.stream()>>>(
      y.as<BFloat16>().data(), x.as<BFloat16>().data(), x.count());
  KERNEL_CHECK(ctx.stream());
}

void GeluBackward(Context& ctx, Out dx, In dy, In x) {
  for (In view : {In(dx), dy, x}) CheckAligned(view);
  GeluBackwardKernel<<<BlockCount(x.count(), kGeluPerBlock), kGeluThreads, 0, ctx.stream()>>>(
      dx.as<BFloat16>().data(), dy.as<BFloat16>().data(), x.as<BFloat16>().data(), x.count());
  KERNEL_CHECK(ctx.stream());
}

}  // namespace cuda
