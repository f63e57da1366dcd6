#pragma once

// An operation X has one signature, written once, in x.h; its back ends have the same one.
//
//   x.h        void X(Context& ctx, outputs..., inputs..., scalars...);
//              DECLARE_BACK_ENDS(X)       or ..._OF_IDS(X) where there is no floating-point operand
//   x.cc       void X(...)                checks the shapes, leaves where there is nothing to do,
//                                         DISPATCH(ctx, dtype, X, arguments...)
//              void reference::X(...)     template <typename T>, slow and clear; the others are
//                                         tested by it; INSTANTIATE_REFERENCE(X)
//   x_cpu.cc   void cpu::X(...)           float32, fast; one line that calls reference::X<float>
//                                         where that is fast enough
//   x.cu       void cuda::X(...)          float32 and bfloat16, as x.h says
//
// A definition is qualified, as above: then one whose parameters differ from X's does not compile.
// Operands stay In, Out and Acc until a back end knows their type.  More than about six of them
// are a struct (TfOperands), which all back ends are given unchanged.

#include "kernels/runtime/context.h"

#define DECLARE_BACK_ENDS_OF_IDS(Op) \
  namespace cpu {                    \
  decltype(treeformer::Op) Op;       \
  }                                  \
  namespace cuda {                   \
  decltype(treeformer::Op) Op;       \
  }
#define DECLARE_BACK_ENDS(Op)  \
  DECLARE_BACK_ENDS_OF_IDS(Op) \
  namespace reference {        \
  template <typename T>        \
  decltype(treeformer::Op) Op; \
  }
#define INSTANTIATE_REFERENCE(Op)             \
  template decltype(Op) reference::Op<float>; \
  template decltype(Op) reference::Op<double>;

// DISPATCH(ctx, dtype, Op, arguments...) picks the implementation of Op:
//   on a GPU             cuda::Op(ctx, arguments...)
//   float64 on the CPU   reference::Op<double>(ctx, arguments...)
//   float32 on the CPU   cpu::Op(ctx, arguments...)
// DISPATCH_IDS(ctx, Op, arguments...) is for operations on int32 only: cuda::Op or the one cpu::Op.
// Here is the only #ifdef USE_CUDA of the project.
#ifdef USE_CUDA
#define DISPATCH_CUDA(ctx, Op, ...)      \
  if ((ctx).device() == Device::kCuda) { \
    cuda::Op((ctx), __VA_ARGS__);        \
    break;                               \
  }
#else
#define DISPATCH_CUDA(ctx, Op, ...) \
  CHECK((ctx).device() == Device::kCpu) << "built without CUDA: " << #Op;
#endif

#define DISPATCH(ctx, dtype, Op, ...)            \
  do {                                           \
    DISPATCH_CUDA(ctx, Op, __VA_ARGS__)          \
    if ((dtype) == DType::kFloat64) {            \
      reference::Op<double>((ctx), __VA_ARGS__); \
    } else {                                     \
      cpu::Op((ctx), __VA_ARGS__);               \
    }                                            \
  } while (false)
#define DISPATCH_IDS(ctx, Op, ...)      \
  do {                                  \
    DISPATCH_CUDA(ctx, Op, __VA_ARGS__) \
    cpu::Op((ctx), __VA_ARGS__);        \
  } while (false)
