#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree/tf/attention_rows.cc"
#include "kernels/tree/tf/attention_rows.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/tree/tf/keep_row.h"

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;  // divides kTileColumns
using Bits = hn::RebindToUnsigned<Floats>;
using Vec = hn::Vec<Floats>;
static_assert(kTileColumns <= kMaxKeepRow);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// exp(x) to 2 ulp; 0 below -87.3, at most exp(88); NaN stays NaN, which hwy's own Exp turns into 0.
// Range reduction and polynomial of Cephes' expf.  Adding 1.5 x 2^23 + 127 rounds to an integer and
// leaves the biased exponent in the lowest bits of the sum.
HWY_INLINE Vec Exp(Floats d, Vec x) {
  const Bits bits;
  const Vec shift = hn::Set(d, 12582912.0f + 127.0f);
  const auto low = hn::Lt(x, hn::Set(d, -87.3f));
  const Vec y = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.0f)), hn::Set(d, 88.0f), x);
  const Vec shifted = hn::MulAdd(y, hn::Set(d, 1.44269504088896341f), shift);
  const Vec n = hn::Sub(shifted, shift);
  const Vec r =
      hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), y));
  Vec p = hn::Set(d, 1.9875691500e-4f);
  for (const float c :
       {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    p = hn::MulAdd(p, r, hn::Set(d, c));
  }
  p = hn::Add(hn::MulAdd(hn::Mul(p, r), r, r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(bits, shifted));
  return hn::IfThenZeroElse(low, hn::Mul(p, hn::BitCast(d, exponent)));
}

float Sum(Floats d, Vec v) { return hn::GetLane(hn::SumOfLanes(d, v)); }

// The lanes of a vector that are inside a row: all, or those of a mask.
struct AllLanes {};
HWY_INLINE Vec Inside(AllLanes, Vec v, Vec) { return v; }
HWY_INLINE Vec Inside(hn::Mask<Floats> inside, Vec v, Vec outside) {
  return hn::IfThenElse(inside, v, outside);
}

// visit(c, lanes) for the vectors that cover columns [begin, end).
template <class Visit>
HWY_INLINE void ForEachVector(Floats d, int64_t begin, int64_t end, const Visit& visit) {
  const int64_t lanes = hn::Lanes(d);
  int64_t c = begin / lanes * lanes;
  if (begin >= end) return;
  if (c < begin) {
    visit(c, hn::AndNot(hn::FirstN(d, begin - c), hn::FirstN(d, std::min(end - c, lanes))));
    c += lanes;
  }
  for (; c + lanes <= end; c += lanes) visit(c, AllLanes());
  if (c < end) visit(c, hn::FirstN(d, end - c));
}

void ZeroOutside(float* row, int64_t begin, int64_t end, int64_t columns) {
  if (begin > 0) std::fill(row, row + begin, 0.0f);
  if (end < columns) std::fill(row + end, row + columns, 0.0f);
}

Vec RowMax(Floats d, const float* row, int64_t begin, int64_t end) {
  Vec max = hn::Set(d, -kInfinity);
  ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
    max = hn::Max(max, Inside(inside, hn::LoadU(d, row + c), hn::Set(d, -kInfinity)));
  });
  return hn::MaxOfLanes(d, max);
}

void Softmax(float* S, const TileExtent& extent, float* max, float* sum, float* correction) {
  const Floats d;
  for (int64_t r = 0; r < extent.rows; ++r) {
    float* row = S + r * kTileColumns;
    const int64_t begin = extent.ranges->begin[r], end = extent.ranges->end[r];
    ZeroOutside(row, begin, end, extent.columns);
    correction[r] = 1;
    if (begin == end) continue;
    const float new_max = std::max(max[r], hn::GetLane(RowMax(d, row, begin, end)));
    correction[r] = std::exp(max[r] - new_max);
    const Vec m = hn::Set(d, new_max);
    Vec total = hn::Zero(d);
    ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
      const Vec p = Inside(inside, Exp(d, hn::Sub(hn::LoadU(d, row + c), m)), hn::Zero(d));
      hn::StoreU(p, d, row + c);
      total = hn::Add(total, p);
    });
    max[r] = new_max;
    sum[r] = sum[r] * correction[r] + Sum(d, total);
  }
}

void Drop(float* S, const TileExtent& extent, const TileDropout& dropped) {
  const Floats d;
  HWY_ALIGN float keep[kTileColumns];
  for (int64_t r = 0; r < extent.rows; ++r) {
    float* row = S + r * kTileColumns;
    const int64_t begin = extent.ranges->begin[r], end = extent.ranges->end[r];
    KeepRow(keep, *dropped.dropout, dropped.row_index[r], dropped.column_position, end);
    ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
      const Vec p = hn::Mul(hn::LoadU(d, row + c), hn::Load(d, keep + c));
      hn::StoreU(Inside(inside, p, hn::Zero(d)), d, row + c);
    });
  }
}

void SoftmaxBackward(float* S, float* dP, const TileExtent& extent, const TileDropout& dropped,
                     const float* lse, const float* delta, float* column_sum) {
  const Floats d;
  const bool drops = dropped.dropout->enabled();
  HWY_ALIGN float keep[kTileColumns];
  std::fill(keep, keep + kTileColumns, 1.0f);
  for (int64_t r = 0; r < extent.rows; ++r) {
    float *s_row = S + r * kTileColumns, *dp_row = dP + r * kTileColumns;
    const int64_t begin = extent.ranges->begin[r], end = extent.ranges->end[r];
    ZeroOutside(s_row, begin, end, extent.columns);
    ZeroOutside(dp_row, begin, end, extent.columns);
    if (drops) {
      KeepRow(keep, *dropped.dropout, dropped.row_index[r], dropped.column_position, end);
    }
    const Vec lse_r = hn::Set(d, lse[r]), delta_r = hn::Set(d, delta[r]);
    ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
      const Vec p = Exp(d, hn::Sub(hn::LoadU(d, s_row + c), lse_r));
      const Vec kept = hn::Load(d, keep + c);
      const Vec dp = hn::MulSub(hn::LoadU(d, dp_row + c), kept, delta_r);
      const Vec ds = Inside(inside, hn::Mul(p, dp), hn::Zero(d));
      hn::StoreU(Inside(inside, hn::Mul(p, kept), hn::Zero(d)), d, s_row + c);
      hn::StoreU(ds, d, dp_row + c);
      hn::StoreU(hn::Add(hn::LoadU(d, column_sum + c), ds), d, column_sum + c);
    });
  }
}

void QueryGain(const float* S, const float* dP, const TileExtent& extent, float* max, float* sum,
               float* weighted) {
  const Floats d;
  for (int64_t r = 0; r < extent.rows; ++r) {
    const float *s_row = S + r * kTileColumns, *dp_row = dP + r * kTileColumns;
    const int64_t begin = extent.ranges->begin[r], end = extent.ranges->end[r];
    if (begin == end) continue;
    const float new_max = std::max(max[r], hn::GetLane(RowMax(d, s_row, begin, end)));
    const float correction = std::exp(max[r] - new_max);
    const Vec m = hn::Set(d, new_max);
    Vec total = hn::Zero(d), total_weighted = hn::Zero(d);
    ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
      const Vec p = Inside(inside, Exp(d, hn::Sub(hn::LoadU(d, s_row + c), m)), hn::Zero(d));
      const Vec dp = Inside(inside, hn::LoadU(d, dp_row + c), hn::Zero(d));
      total = hn::Add(total, p);
      total_weighted = hn::MulAdd(p, dp, total_weighted);
    });
    max[r] = new_max;
    sum[r] = sum[r] * correction + Sum(d, total);
    weighted[r] = weighted[r] * correction + Sum(d, total_weighted);
  }
}

void KeyGain(const float* S, const float* dP, const TileExtent& extent, const float* lse,
             const float* delta, float* gain) {
  const Floats d;
  const Vec one = hn::Set(d, 1.0f);
  for (int64_t r = 0; r < extent.rows; ++r) {
    const float *s_row = S + r * kTileColumns, *dp_row = dP + r * kTileColumns;
    Vec total = hn::Zero(d);
    const int64_t begin = extent.ranges->begin[r], end = extent.ranges->end[r];
    ForEachVector(d, begin, end, [&](int64_t c, auto inside) HWY_ATTR {
      const Vec t = Exp(d, hn::Sub(hn::LoadU(d, lse + c), hn::LoadU(d, s_row + c)));
      const Vec dp = hn::Sub(hn::LoadU(d, dp_row + c), hn::LoadU(d, delta + c));
      total = hn::Add(total, Inside(inside, hn::Div(dp, hn::Add(one, t)), hn::Zero(d)));
    });
    gain[r] += Sum(d, total);
  }
}

void Scale(float* y, int64_t rows, int64_t count, const float* factor) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r, y += count) {
    const Vec f = hn::Set(d, factor[r]);
    int64_t c = 0;
    for (; c + lanes <= count; c += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, y + c), f), d, y + c);
    }
    for (; c < count; ++c) y[c] *= factor[r];
  }
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer::cpu {

HWY_EXPORT(Softmax);
HWY_EXPORT(Drop);
HWY_EXPORT(SoftmaxBackward);
HWY_EXPORT(QueryGain);
HWY_EXPORT(KeyGain);
HWY_EXPORT(Scale);

void SoftmaxTile(float* S, const TileExtent& extent, float* max, float* sum, float* correction) {
  HWY_DYNAMIC_DISPATCH(Softmax)(S, extent, max, sum, correction);
}
void DropoutTile(float* S, const TileExtent& extent, const TileDropout& dropped) {
  HWY_DYNAMIC_DISPATCH(Drop)(S, extent, dropped);
}
void SoftmaxBackwardTile(float* S, float* dP, const TileExtent& extent, const TileDropout& dropped,
                         const float* lse, const float* delta, float* column_sum) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(S, dP, extent, dropped, lse, delta, column_sum);
}
void QueryGainTile(const float* S, const float* dP, const TileExtent& extent, float* max,
                   float* sum, float* weighted) {
  HWY_DYNAMIC_DISPATCH(QueryGain)(S, dP, extent, max, sum, weighted);
}
void KeyGainTile(const float* S, const float* dP, const TileExtent& extent, const float* lse,
                 const float* delta, float* gain) {
  HWY_DYNAMIC_DISPATCH(KeyGain)(S, dP, extent, lse, delta, gain);
}
void ScaleRows(float* y, int64_t rows, int64_t count, const float* factor) {
  HWY_DYNAMIC_DISPATCH(Scale)(y, rows, count, factor);
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
