#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree/dense/soft_tree_tile.cc"
#include "kernels/tree/dense/soft_tree_tile.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/tree/tf/binary_heap.h"

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;  // divides kSoftRows

// The rows [first, first + Lanes): pi, G [P + L, Lanes].
void Backward(const SoftTile& tile, int64_t first, float* HWY_RESTRICT pi, float* HWY_RESTRICT G) {
  const Floats d;
  const int64_t N = hn::Lanes(d), L = tile.leaves, P = L - 1;
  HWY_ALIGN float along_rows[hn::MaxLanes(Floats())], against_rows[hn::MaxLanes(Floats())];
  for (int64_t r = 0; r < N; ++r) {
    const float decay = std::exp(-2 * tile.strength[first + r]);
    along_rows[r] = 1 / (1 + decay);
    against_rows[r] = decay / (1 + decay);
  }
  const auto along = hn::Load(d, along_rows), against = hn::Load(d, against_rows);
  const auto zero = hn::Zero(d), one = hn::Set(d, 1.0f);

  // pi of a child: first what its parent's decision gives it, then times pi of the parent.
  for (int64_t t = 0; t < P; ++t) {
    float* f = tile.f + t * kSoftRows + first;
    const auto score = hn::Add(hn::LoadU(d, f), hn::Set(d, tile.bias[t]));
    hn::StoreU(score, d, f);
    const auto right = hn::Gt(score, zero);
    hn::StoreU(hn::IfThenElse(right, against, along), d, pi + LeftChild(t) * N);
    hn::StoreU(hn::IfThenElse(right, along, against), d, pi + RightChild(t) * N);
  }
  for (int64_t r = 0; r < N; ++r) {
    for (int64_t t = P + tile.leaf[first + r]; t > 0; t = Parent(t)) {
      pi[t * N + r] = along_rows[r];
      pi[Sibling(t) * N + r] = against_rows[r];
    }
  }
  hn::StoreU(one, d, pi);
  for (int64_t t = 0; t < P; ++t) {
    const auto parent = hn::LoadU(d, pi + t * N);
    for (const int64_t child : {LeftChild(t), RightChild(t)}) {
      hn::StoreU(hn::Mul(parent, hn::LoadU(d, pi + child * N)), d, pi + child * N);
    }
  }

  for (int64_t m = 0; m < L; ++m) {
    const auto effect = hn::LoadU(d, tile.effect + m * kSoftRows + first);
    hn::StoreU(hn::Mul(hn::LoadU(d, pi + (P + m) * N), effect), d, G + (P + m) * N);
  }
  for (int64_t t = P - 1; t >= 0; --t) {
    const auto left = hn::LoadU(d, G + LeftChild(t) * N);
    hn::StoreU(hn::Add(left, hn::LoadU(d, G + RightChild(t) * N)), d, G + t * N);
  }
  const auto mean = hn::LoadU(d, G);
  const auto two_s = hn::Mul(hn::Set(d, 2.0f), hn::LoadU(d, tile.strength + first));
  for (int64_t t = 0; t < P; ++t) {
    const auto difference = [&](const float* of) HWY_ATTR {
      return hn::Sub(hn::LoadU(d, of + RightChild(t) * N), hn::LoadU(d, of + LeftChild(t) * N));
    };
    const auto da = hn::Mul(two_s, hn::NegMulAdd(mean, difference(pi), difference(G)));
    float* f = tile.f + t * kSoftRows + first;
    const auto through = hn::Le(hn::Abs(hn::LoadU(d, f)), one);
    hn::StoreU(hn::IfThenElseZero(through, da), d, f);
  }
}

void BackwardTile(const SoftTile& tile, float* memory) {
  const int64_t N = hn::Lanes(Floats()), nodes = 2 * tile.leaves - 1;
  for (int64_t first = 0; first < kSoftRows; first += N) {
    Backward(tile, first, memory, memory + nodes * N);
  }
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer::cpu {

HWY_EXPORT(BackwardTile);

void SoftTileBackward(const SoftTile& tile, float* memory) {
  HWY_DYNAMIC_DISPATCH(BackwardTile)(tile, memory);
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
