#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree/dense/dense_tile.cc"
#include "kernels/tree/dense/dense_tile.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;  // divides kDenseKeys
using Ints = hn::RebindToSigned<Floats>;
using Vec = hn::Vec<Floats>;

template <DenseTerms kTerms>
HWY_INLINE Vec Weight(Vec log_weight, hn::Mask<Floats> in_leaf, Vec clamp) {
  const Floats d;
  const auto one = hn::Set(d, 1.0f);
  // exp(80) is as good as infinity, and 1 + it is finite.
  const auto weight = hn::Exp(d, hn::Min(log_weight, hn::Set(d, 80.0f)));
  if (kTerms == DenseTerms::kClamped) return hn::Min(weight, clamp);
  if (kTerms == DenseTerms::kInLeaf) return hn::IfThenElseZero(in_leaf, weight);
  return hn::IfThenElse(in_leaf, weight, hn::Div(weight, hn::Add(one, weight)));
}

template <DenseTerms kTerms>
void TermsOf(float* S, const float* dP, const DenseTile& tile, const DenseOptions& options) {
  const Floats d;
  const Ints di;
  const auto clamp = hn::Set(d, options.clamp);
  for (int64_t r = 0; r < tile.rows; ++r) {
    const auto lse = hn::Set(d, tile.lse[r]), delta = hn::Set(d, tile.delta[r]);
    const auto leaf = hn::Set(di, tile.query_leaf[r]);
    // A key at a position above this one is hidden.
    const auto last = hn::Set(di, options.causal ? tile.query_position[r] : INT32_MAX);
    for (int64_t c = 0; c < tile.columns; c += hn::Lanes(d)) {
      float* s = S + r * kDenseKeys + c;
      const auto in_leaf = hn::RebindMask(d, hn::Eq(hn::LoadU(di, tile.key_leaf + c), leaf));
      const auto hidden = hn::RebindMask(d, hn::Gt(hn::LoadU(di, tile.key_position + c), last));
      const auto weight = Weight<kTerms>(hn::Sub(hn::LoadU(d, s), lse), in_leaf, clamp);
      const auto effect = hn::Sub(hn::LoadU(d, dP + r * kDenseKeys + c), delta);
      hn::StoreU(hn::IfThenZeroElse(hidden, hn::Mul(weight, effect)), d, s);
    }
  }
}

void Terms(float* S, const float* dP, const DenseTile& tile, const DenseOptions& options) {
  switch (options.terms) {
    case DenseTerms::kClamped:
      return TermsOf<DenseTerms::kClamped>(S, dP, tile, options);
    case DenseTerms::kBounded:
      return TermsOf<DenseTerms::kBounded>(S, dP, tile, options);
    case DenseTerms::kInLeaf:
      return TermsOf<DenseTerms::kInLeaf>(S, dP, tile, options);
  }
}

void LeafSums(float* effect, const float* X, const LeafRun* leaves, size_t count) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; ++i) {
    int64_t c = leaves[i].begin;
    auto sum = hn::Zero(d);
    for (; c + lanes <= leaves[i].end; c += lanes) sum = hn::Add(sum, hn::LoadU(d, X + c));
    float tail = 0;
    for (; c < leaves[i].end; ++c) tail += X[c];
    effect[leaves[i].leaf] += hn::GetLane(hn::SumOfLanes(d, sum)) + tail;
  }
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer::cpu {

HWY_EXPORT(Terms);
HWY_EXPORT(LeafSums);

void DenseTileTerms(float* S, const float* dP, const DenseTile& tile, const DenseOptions& options) {
  HWY_DYNAMIC_DISPATCH(Terms)(S, dP, tile, options);
}

void AddLeafSums(float* effect, const float* X, const std::vector<LeafRun>& leaves) {
  HWY_DYNAMIC_DISPATCH(LeafSums)(effect, X, leaves.data(), leaves.size());
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
