#pragma once

// Softmax cross-entropy: cross_entropy.h.  Logits and their gradient bfloat16, the loss float32; a
// block works on one row, in one pass for the loss and one for the gradient.  Rows need not be
// aligned: the few elements before the first multiple of 16 bytes and behind the last are single.
// A target past the last class gives NaN.

#include <cmath>
#include <limits>

#include "kernels/cuda/vectors.cuh"

namespace treeformer::cuda {

constexpr int kCrossEntropyThreads = 256;
constexpr int64_t kCrossEntropySharedBytes = 2 * 4 * kCrossEntropyThreads / device::kWarpThreads;

// body(value, c) for the elements z[c] .. that are this thread's, `value` one or eight of them.
template <typename Body>
DEVICE void ForEachLogit(const BFloat16* z, int V, const Body& body) {
  const int crooked = reinterpret_cast<uintptr_t>(z) / sizeof(BFloat16) % 8;
  const int head = std::min(V, (8 - crooked) % 8);
  const int vectors_end = head + (V - head) / 8 * 8;
  const int thread = device::Thread();
  if (thread < head + V - vectors_end) {
    const int c = thread < head ? thread : vectors_end + thread - head;
    float value[1];
    device::LoadFloats(value, z + c);
    body(value, c);
  }
  for (int c = head + thread * 8; c < vectors_end; c += kCrossEntropyThreads * 8) {
    float value[8];
    device::LoadFloats(value, z + c);
    body(value, c);
  }
}

// largest = max z, first = the lowest class that has it, sum = sum exp(z - largest).
struct SoftmaxSum {
  float largest = -std::numeric_limits<float>::max();
  float sum = 0;
  int first = std::numeric_limits<int>::max();

  template <int kWidth>
  DEVICE void Add(const float (&value)[kWidth], int c) {
    float most = value[0];
#pragma unroll
    for (int i = 1; i < kWidth; ++i) most = fmaxf(most, value[i]);
    if (most > largest) {
      sum *= device::Exp(largest - most);
      largest = most;
      first = std::numeric_limits<int>::max();
    }
#pragma unroll
    for (int i = kWidth; i-- > 0;) {
      if (value[i] == largest) first = std::min(first, c + i);
      sum += device::Exp(value[i] - largest);
    }
  }
};

struct Min {
  DEVICE int operator()(int a, int b) const { return std::min(a, b); }
};

KERNEL(kCrossEntropyThreads)
CrossEntropyKernel(float* loss, int32_t* correct, BFloat16* logits, const int32_t* target, int V,
                   int64_t ld, bool gradient) {
  constexpr int kThreads = kCrossEntropyThreads;
  const int m = device::BlockX();
  BFloat16* z = logits + m * ld;
  const int t = target[m];
  SoftmaxSum own;
  if (t >= 0) ForEachLogit(z, V, [&](const auto& value, int c) { own.Add(value, c); });
  const float z_t =
      0 <= t && t < V ? device::ToFloat(z[t]) : std::numeric_limits<float>::quiet_NaN();

  device::SharedArrays shared;
  float* for_floats = shared.Take<float>(kThreads / device::kWarpThreads);
  int* for_ints = shared.Take<int>(kThreads / device::kWarpThreads);
  const float largest = device::BlockMax<kThreads>(own.largest, for_floats);
  const float own_sum = own.sum * device::Exp(own.largest - largest);
  const float sum = device::BlockSum<kThreads>(own_sum, for_floats);
  const int own_first = own.largest == largest ? own.first : V;
  const int first = device::BlockReduce<kThreads>(own_first, for_ints, Min());
  if (device::Thread() == 0) {
    loss[m] = t < 0 ? 0 : logf(sum) - (z_t - largest);
    correct[m] = t >= 0 && first == t;
  }
  if (!gradient) return;

  const float scale = t < 0 ? 0 : 1 / sum;
  ForEachLogit(z, V, [&](auto& value, int c) {
    constexpr int kWidth = sizeof(value) / sizeof(float);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      value[i] = t < 0 ? 0 : device::Exp(value[i] - largest) * scale - (c + i == t);
    }
    device::StoreFloats(z + c, value);
  });
}

constexpr int64_t kLossSumsSharedBytes =
    2 * sizeof(double) * kCrossEntropyThreads / device::kWarpThreads;

// One block.
KERNEL(kCrossEntropyThreads)
AddLossSumsKernel(double* sums, const float* loss, const int32_t* correct, int64_t count) {
  double own[2] = {};
  for (int64_t m = device::Thread(); m < count; m += kCrossEntropyThreads) {
    own[0] += loss[m];
    own[1] += correct[m];
  }
  device::SharedArrays shared;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    double* space = shared.Take<double>(kCrossEntropyThreads / device::kWarpThreads);
    const double sum = device::BlockSum<kCrossEntropyThreads>(own[i], space);
    if (device::Thread() == 0) sums[i] += sum;
  }
}

}  // namespace treeformer::cuda
