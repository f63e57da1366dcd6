#pragma once

// DISPATCH(ctx, dtype, Op, args...) picks the implementation of Op:
//   on a GPU             cuda::Op(ctx, args...)
//   float64 on the CPU   reference::Op<double>(args...)   slow, clear; the others are tested by it
//   float32 on the CPU   cpu::Op(ctx, args...)            fast
// DISPATCH_IDS(ctx, Op, args...) is for operations on int32 only: cuda::Op or the one cpu::Op.
// This is the only #ifdef USE_CUDA of the project.

#include "kernels/runtime/context.h"

#define DISPATCH_CPU(ctx, dtype, Op, ...) \
  if ((dtype) == DType::kFloat64) {       \
    reference::Op<double>(__VA_ARGS__);   \
  } else {                                \
    cpu::Op((ctx), __VA_ARGS__);          \
  }

#ifdef USE_CUDA
#define DISPATCH(ctx, dtype, Op, ...)           \
  do {                                          \
    if ((ctx).device() == Device::kCuda) {      \
      cuda::Op((ctx), __VA_ARGS__);             \
    } else {                                    \
      DISPATCH_CPU(ctx, dtype, Op, __VA_ARGS__) \
    }                                           \
  } while (false)
#define DISPATCH_IDS(ctx, Op, ...)         \
  do {                                     \
    if ((ctx).device() == Device::kCuda) { \
      cuda::Op((ctx), __VA_ARGS__);        \
    } else {                               \
      cpu::Op((ctx), __VA_ARGS__);         \
    }                                      \
  } while (false)
#else
#define DISPATCH(ctx, dtype, Op, ...)                                       \
  do {                                                                      \
    CHECK((ctx).device() == Device::kCpu) << "built without CUDA: " << #Op; \
    DISPATCH_CPU(ctx, dtype, Op, __VA_ARGS__)                               \
  } while (false)
#define DISPATCH_IDS(ctx, Op, ...)                                          \
  do {                                                                      \
    CHECK((ctx).device() == Device::kCpu) << "built without CUDA: " << #Op; \
    cpu::Op((ctx), __VA_ARGS__);                                            \
  } while (false)
#endif
