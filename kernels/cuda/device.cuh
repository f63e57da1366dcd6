#pragma once

// The primitives of GPU kernels: all that a kernel may use of the hardware.
//
//   nvcc    PTX for sm_80 and later                     (PTX ISA 8.0)
//   g++     the same names on the host: kernels/emulation/emulation.h
//
// A kernel is KERNEL(threads) Name(arguments) in a x_kernels.cuh, which one x.cu includes (with its
// launchers) and the test that emulates it.  Blocks are one-dimensional, a multiple of 32 threads.
// A warp is 32 threads; thread 32 w + l is lane l of warp w.  "Collective": all 32 lanes of the
// warp call it, together.  A tile is 8 x 8 bfloat16; a fragment is a lane's share of a matrix:
//
//   A [16, 16]  a[0]: row l/4,   columns 2 (l%4) + {0, 1}    a[2]: the same, columns + 8
//               a[1]: row l/4+8                              a[3]: the same, columns + 8
//   B [16, 8]   b0: rows 2 (l%4) + {0, 1}, column l/4        b1: rows + 8
//   C [16, 8]   c[0], c[1]: row l/4, columns 2 (l%4) + {0, 1}    c[2], c[3]: row l/4 + 8
//   Of two bfloat16 in one 32-bit word the lower half comes first.

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace treeformer::device {

constexpr int kWarpThreads = 32;

// Eight bfloat16 or four floats: the widest load and store.
struct alignas(16) Vector16 {
  uint32_t word[4];
};

}  // namespace treeformer::device

#ifdef __CUDACC__

#define DEVICE __device__ __forceinline__
#define KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)

namespace treeformer::device {

// --- where we are -------------------------------------------------------------------------------
DEVICE int Thread() { return threadIdx.x; }
DEVICE int ThreadCount() { return blockDim.x; }
DEVICE int BlockX() { return blockIdx.x; }
DEVICE int BlockY() { return blockIdx.y; }
DEVICE int BlockZ() { return blockIdx.z; }
DEVICE int GridX() { return gridDim.x; }
DEVICE int GridY() { return gridDim.y; }
DEVICE int GridZ() { return gridDim.z; }

// --- memory -------------------------------------------------------------------------------------
// Start of the block's dynamic shared memory, aligned to 1024 bytes.
DEVICE char* SharedMemory() {
  extern __shared__ __align__(1024) char shared_memory[];
  return shared_memory;
}

// Whole words of 4, 8 or 16 bytes; the address is a multiple of the size.
template <typename T>
DEVICE T Load(const void* address) {
  return *static_cast<const T*>(address);
}
template <typename T>
DEVICE void Store(void* address, const T& value) {
  *static_cast<T*>(address) = value;
}

// Returns the old value.
DEVICE int AtomicAdd(int* address, int value) { return atomicAdd(address, value); }

DEVICE uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// 16 bytes from global to shared memory in the background, zeros unless `copies`; both addresses
// are multiples of 16, and `global` is valid in any case.
DEVICE void CopyAsync16(void* shared, const void* global, bool copies) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(copies ? 16 : 0)
               : "memory");
}
// The same with 4 bytes.
DEVICE void CopyAsync4(void* shared, const void* global, bool copies) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(copies ? 4 : 0)
               : "memory");
}
// Closes a group: this thread's copies since the last one.
DEVICE void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of this thread's groups are under way.  Other threads see the bytes
// after a BlockBarrier that follows.
template <int kPending>
DEVICE void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- barriers -----------------------------------------------------------------------------------
// All threads of the block.
DEVICE void BlockBarrier() { __syncthreads(); }
DEVICE void WarpBarrier() { __syncwarp(); }

// --- collectives of a warp ----------------------------------------------------------------------
template <typename T>
DEVICE T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xffffffff, value, mask);
}
template <typename T>
DEVICE T Shuffle(T value, int lane) {
  return __shfl_sync(0xffffffff, value, lane);
}
// From lane - distance; the lowest `distance` lanes keep their own.
template <typename T>
DEVICE T ShuffleUp(T value, int distance) {
  return __shfl_up_sync(0xffffffff, value, distance);
}
// From lane + distance; the highest `distance` lanes keep their own.
template <typename T>
DEVICE T ShuffleDown(T value, int distance) {
  return __shfl_down_sync(0xffffffff, value, distance);
}
// Bit l is lane l's predicate.
DEVICE uint32_t Ballot(bool predicate) { return __ballot_sync(0xffffffff, predicate); }

// Four tiles from shared memory: lane 8 t + r gives the address of row r (16 bytes) of tile t, and
// r[t] is row l/4, columns 2 (l%4) + {0, 1} of tile t; transposed: of its transpose.
DEVICE void LoadMatrix(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}
DEVICE void LoadMatrixTransposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}
// C += A B, products of bfloat16 summed in float32.
DEVICE void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- arithmetic ---------------------------------------------------------------------------------
// 2^x, within 2 ulp; results below 2^-126 are 0.
DEVICE float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// log2 x, within 2^-22 absolutely near 1 and relatively elsewhere; log2 0 = -infinity.
DEVICE float Log2(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x, within 1 ulp; 1 / infinity = 0.
DEVICE float Reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / sqrt(x), within 2^-22.
DEVICE float InverseSqrt(float x) { return rsqrtf(x); }

// Two floats rounded to nearest, ties to even.
DEVICE uint32_t PackBFloat16(float low, float high) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
DEVICE float FloatOfBits(uint32_t bits) { return __uint_as_float(bits); }

}  // namespace treeformer::device

#else
#include "kernels/emulation/emulation.h"
#endif

namespace treeformer::device {

DEVICE int Lane() { return Thread() % kWarpThreads; }
DEVICE int Warp() { return Thread() / kWarpThreads; }

// Takes typed arrays from the block's dynamic shared memory, one behind the other, each aligned to
// 16 bytes.  Nothing is initialised.
class SharedArrays {
 public:
  template <typename T>
  DEVICE T* Take(int count) {
    T* array = reinterpret_cast<T*>(SharedMemory() + offset_);
    offset_ += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
    return array;
  }

 private:
  int offset_ = 0;
};

DEVICE float LowFloat(uint32_t word) { return FloatOfBits(word << 16); }
DEVICE float HighFloat(uint32_t word) { return FloatOfBits(word & 0xffff0000); }
DEVICE float ToFloat(BFloat16 value) { return FloatOfBits(uint32_t{value.bits} << 16); }
DEVICE BFloat16 ToBFloat16(float value) {
  return {static_cast<uint16_t>(PackBFloat16(value, 0) & 0xffff)};
}

DEVICE void Unpack(float (&value)[8], const Vector16& vector) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    value[2 * i] = LowFloat(vector.word[i]);
    value[2 * i + 1] = HighFloat(vector.word[i]);
  }
}
DEVICE Vector16 Pack(const float (&value)[8]) {
  Vector16 vector;
#pragma unroll
  for (int i = 0; i < 4; ++i) vector.word[i] = PackBFloat16(value[2 * i], value[2 * i + 1]);
  return vector;
}

// e^x, within 2 + |x| ulp.
DEVICE float Exp(float x) { return Exp2(x * 1.44269504f); }

struct Sum {
  template <typename T>
  DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
struct Min {
  template <typename T>
  DEVICE T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Max {
  template <typename T>
  DEVICE T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// Collective: combines the values of all lanes, in the same order everywhere; every lane gets the
// result.  `combine` is commutative.
template <typename T, typename Combine>
DEVICE T WarpReduce(T value, const Combine& combine) {
#pragma unroll
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) {
    value = combine(value, ShuffleXor(value, mask));
  }
  return value;
}
template <typename T>
DEVICE T WarpSum(T value) {
  return WarpReduce(value, Sum());
}
template <typename T>
DEVICE T WarpMax(T value) {
  return WarpReduce(value, Max());
}

// Combines the values of all threads of the block; every thread gets the result, the same bits on
// every run.  shared: kThreads / 32 elements of shared memory that are this helper's alone.
//
// Barriers: ALL threads of the block call it, outside of any branch that differs between them.  It
// begins with a barrier (the last call's readers are done, so `shared` may be given again at once)
// and has one more before it reads; it ends WITHOUT one: other shared memory that a thread reads
// before the call may be overwritten after it, but what is written after it needs a barrier.
template <int kThreads, typename T, typename Combine>
DEVICE T BlockReduce(T value, T* shared, const Combine& combine) {
  constexpr int kWarps = kThreads / kWarpThreads;
  static_assert(kThreads % kWarpThreads == 0 && kWarps <= kWarpThreads);
  value = WarpReduce(value, combine);
  BlockBarrier();
  if (Lane() == 0) shared[Warp()] = value;
  BlockBarrier();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) value = combine(value, shared[warp]);
  return value;
}
template <int kThreads, typename T>
DEVICE T BlockSum(T value, T* shared) {
  return BlockReduce<kThreads>(value, shared, Sum());
}
template <int kThreads, typename T>
DEVICE T BlockMax(T value, T* shared) {
  return BlockReduce<kThreads>(value, shared, Max());
}

}  // namespace treeformer::device
